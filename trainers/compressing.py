"""Making a trained model smaller, step by step: each step is a model folder of its own, made out of the one before it.

A step runs the ordinary trainer of the configuration (one stage, a cascade, two stages), whose networks are made out of
those that lie at the same places in the folder of the step before. The last step that is good enough becomes the model.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from autoseg.compression.options import CompressionOptions
from autoseg.compression.report import STEPS, StepReport
from autoseg.compression.search import weight_bytes
from autoseg.errors import OptionError
from autoseg.files import from_json, read_json, write_json
from autoseg.inference.model_files import WEIGHTS, finished_folds
from autoseg.plans import StagePlan, TrainingPlan
from autoseg.training.options import TrainingOptions
from trainers.acceptance import accept_by, changes_acceptance
from trainers.compressed_folder import STEP_RECORD, begin_folder, check_restart, promote
from trainers.job import Job, TrainingResult, first_of_each_network
from trainers.making import Step, StepMaking
from trainers.measures import StepMeasures, write_report
from trainers.source import job_of_source, uncompressed
from trainers.usual import usual_trainer

LOGGER = logging.getLogger(__name__)
SLOWER = 0.3
"""Of the plan's learning rate: the network is trained already."""
SEEDS_APART = 1000
"""Between the seeds of two steps, so that each sees other patches."""


@dataclass(frozen=True)
class Progress:
    """Where a chain stands. number: of the step, from 1, of count. taken: the steps before it that were good enough."""

    number: int
    count: int
    taken: tuple[Step, ...]
    step: Step


class Chain:
    """The steps of one compression. Made with a job whose folder becomes the compressed model.

    trainer: the name that the report gets. source: the model that the first step is made out of; full: the one that
    teaches and has the Dice of before, see source.uncompressed. methods: names of those that are applied, in order.
    decided: by the names of files in the model folder, what was decided before the first step; written when the folder
    is begun.
    """

    def __init__(self, job: Job, trainer: str, source: Path, methods: Sequence[str] = ()) -> None:
        if job.options.pretrained is not None:
            raise OptionError("A compressed model starts from the one that it is made of.", "Leave out --pretrained.")
        self.trainer, self.source = trainer, source
        self.methods = tuple(methods) or (trainer,)
        self.compression = job.compression or CompressionOptions()
        self.job = job_of_source(source, job)
        self.full = uncompressed(source, self.job)
        self.stages = self._chosen_stages()
        self.decided: dict[str, Any] = {}
        check_restart(self.job)

    def run(self, methods: Sequence[Sequence[Step]]) -> TrainingResult:
        """Make what is not made yet, as far as Dice allows; the last good step becomes the model.

        methods: the steps of each. Where one costs too much, those of its method that are left are left out, and the
        next method goes on from the last good one.
        """
        before = self._before()
        self._begin()
        made, good = [before], before
        taken: list[Step] = []
        count = sum(map(len, methods))
        for steps in methods:
            for step in steps:
                made.append(self._run_step(Progress(len(made), count, tuple(taken), step)))
                if self._costs_too_much(before, made[-1]):
                    LOGGER.info("%s costs more Dice than --max-dice-drop allows: %s stays.", step.name, good.name)
                    break
                good = made[-1]
                taken.append(step)
        if good is before:
            raise OptionError(
                f"Already the first step takes mean Dice from {before.dice or 0:.4f} to {made[1].dice or 0:.4f}.",
                "Allow a larger --max-dice-drop, give a longer --budget, or a --prune with a lower START.",
            )
        promote(self._folder(good.name), self.job.folder)
        measures = StepMeasures(self.job, self.stages, self.full, self.job.folder / STEPS)
        write_report(self, measures, made, good)
        self._tell_size()
        return TrainingResult(self.job.folder, {name: good.fold_dice.get(name) for name in self.job.fold_names})

    def _tell_size(self) -> None:
        """Warn of files that are larger than the target."""
        bound = self.compression.target_bytes
        if bound is None:
            return
        for stage in first_of_each_network(self.job.stages):
            most = bound.of(weight_bytes(stage.network))
            files = [self.job.stage_folder(stage) / f"fold_{name}" / WEIGHTS for name in self.job.fold_names]
            for path in files if stage.name in self.stages else ():
                size = path.stat().st_size
                if size > most:
                    LOGGER.warning("%s has %d bytes, more than the %d of --target-size.", path, size, most)

    def _folder(self, step_name: str) -> Path:
        return self.job.folder / STEPS / step_name

    @cached_property
    def folds(self) -> tuple[str, ...]:
        """Of the model in the end: those of this run and those that it has. Steps are judged by all of them."""
        return tuple(sorted({*self.job.fold_names, *finished_folds(self.job.folder)}))

    def _begin(self) -> None:
        """Make the folder ready, once nothing more can be refused."""
        begin_folder(self.job)
        for name, values in self.decided.items():
            write_json(self.job.folder / name, values)

    def _chosen_stages(self) -> tuple[str, ...]:
        stages, wanted = self.job.stages, self.compression.stages
        known = dict.fromkeys(name for stage in stages for name in (stage.network_name, stage.name))
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise OptionError(f"The model has no stage {unknown[0]!r}.", f"Its stages: {', '.join(known)}.")
        networks = {stage.network_name for stage in stages if {stage.network_name, stage.name} & set(wanted)}
        return tuple(stage.name for stage in stages if not wanted or stage.network_name in networks)

    def _before(self) -> StepReport:
        from autoseg.evaluation import read_summary

        files = {name: self.full / f"fold_{name}" / "summary.json" for name in self.folds}
        report = self._report(
            "full", {name: read_summary(path).mean_dice for name, path in files.items() if path.exists()}
        )
        if self.compression.max_dice_drop is not None and report.dice is None:
            raise OptionError(
                f"{self.full} has no Dice of validation cases to hold --max-dice-drop against.",
                "Compress folds with validation cases, or leave the option out.",
            )
        return report

    def _report(self, name: str, fold_dice: Mapping[str, float | None]) -> StepReport:
        """Of a step, over the folds of the model; what else was made of it is left out."""
        dice = {fold: fold_dice.get(fold) for fold in self.folds}
        return StepReport(name, mean_of(dice), dice, {})

    def _run_step(self, progress: Progress) -> StepReport:
        making = self._making(progress)
        record, tolerance = making.folder / STEP_RECORD, self.compression.int8_tolerance
        known: dict[str, float | None] = {}
        if record.exists():
            known = from_json(StepReport, read_json(record), record).fold_dice
            making.check_made()
        if changes_acceptance(making.folder, tolerance):
            known = {}
        self._check_folds(progress.step, known)
        accept_by(making.folder, tolerance)
        if not set(self.job.fold_names) <= set(known):
            LOGGER.info("step %d of %d: %s", progress.number, progress.count, progress.step.name)
            known |= usual_trainer(self._step_job(progress, making)).run().fold_dice
            write_json(record, StepReport(progress.step.name, mean_of(known), known, {}))
            for regions in making.folder.glob("stages/*/regions"):
                shutil.rmtree(regions)
        return self._report(progress.step.name, known)

    def _making(self, progress: Progress) -> StepMaking:
        source = self._folder(progress.taken[-1].name) if progress.taken else self.source
        networks = {stage.network_name: stage.name for stage in first_of_each_network(self.job.stages)}
        last, folder = self.job.stages[-1].name, self._folder(progress.step.name)
        return StepMaking(
            progress.step,
            self.stages,
            networks,
            last,
            folder,
            source,
            self.full,
            self.job.configuration,
            self.job.fold_names,
            self.compression,
        )

    def _check_folds(self, step: Step, made: Collection[str]) -> None:
        """Raise OptionError where a fold of the model would lack a step: all of its folds are of one step.

        made: the folds that the step was made of before this run.
        """
        lacking = [name for name in self.folds if name not in self.job.fold_names and name not in made]
        if lacking:
            raise OptionError(
                f"{self.job.folder} has fold {', '.join(lacking)}, of which {step.name} was not made: all folds of a "
                "model are of one step.",
                f"Compress them together: --folds {' '.join(self.folds)}.",
            )

    def _step_job(self, progress: Progress, making: StepMaking) -> Job:
        plans, options, count = self.job.plans, self.job.options, progress.count
        steps = (*progress.taken, progress.step)
        stages = {
            stage.name: replace(self._after(steps, stage), training=finetuning_plan(stage.training, count))
            for stage in self.job.stages
        }
        options = replace(finetuning_options(options, count), seed=options.seed + SEEDS_APART * (progress.number - 1))
        return replace(
            self.job, plans=replace(plans, stages=stages), folder=making.folder, options=options, making=making
        )

    def _after(self, steps: Sequence[Step], stage: StagePlan) -> StagePlan:
        """A stage of the full model after these steps."""
        for step in steps if stage.name in self.stages else ():
            stage = step.stage(stage)
        return stage

    def _costs_too_much(self, before: StepReport, now: StepReport) -> bool:
        """By the folds whose Dice was known before."""
        limit = self.compression.max_dice_drop
        drops = [dice - (now.fold_dice[name] or 0.0) for name, dice in before.fold_dice.items() if dice is not None]
        return limit is not None and bool(drops) and fmean(drops) > limit


def finetuning_plan(plan: TrainingPlan, steps: int) -> TrainingPlan:
    """The plan's training at a lower rate, its length shared out among the steps."""
    seconds = plan.budget_seconds
    return replace(
        plan,
        learning_rate=SLOWER * plan.learning_rate,
        epochs=max(1, plan.epochs // steps),
        budget_seconds=None if seconds is None else seconds / steps,
    )


def finetuning_options(options: TrainingOptions, steps: int) -> TrainingOptions:
    """The length that was asked for, shared out among the steps; what is to be made again was removed before."""
    return replace(
        options,
        budget_seconds=None if options.budget_seconds is None else options.budget_seconds / steps,
        epochs=None if options.epochs is None else max(1, options.epochs // steps),
        restart=False,
    )


def mean_of(fold_dice: dict[str, float | None]) -> float | None:
    """The mean over folds that have a Dice; None where none has."""
    known = [dice for dice in fold_dice.values() if dice is not None]
    return sum(known) / len(known) if known else None
