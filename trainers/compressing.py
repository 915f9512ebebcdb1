"""Making a trained model smaller, step by step: each step is a model folder of its own, made out of the one before it.

A step runs the ordinary trainer of the configuration (one stage, a cascade, two stages), whose networks are made out of
those that lie at the same places in the folder of the step before. The last step that is good enough becomes the model.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from autoseg.compression.options import CompressionOptions
from autoseg.compression.report import REPORT, StepReport
from autoseg.errors import FileError, OptionError
from autoseg.files import atomic_path, checksum, checksum_of, from_json, link_file, read_json, write_json
from autoseg.inference.model_files import WEIGHTS, finished_folds
from autoseg.plans import Plans, StagePlan, TrainingPlan, read_plans
from autoseg.training.options import TrainingOptions, TrainingSettings
from trainers.fitting import FittingTask
from trainers.job import Job, TrainingResult, first_of_each_network
from trainers.measures import StepMeasures, write_report
from trainers.provenance import FittingRecord, decisive
from trainers.usual import usual_trainer

LOGGER = logging.getLogger(__name__)
STEPS = "steps"
STEP_RECORD = "step.json"
SLOWER = 0.3
"""Of the plan's learning rate: the network is trained already."""
SEEDS_APART = 1000
"""Between the seeds of two steps, so that each sees other patches."""


class Step(Protocol):
    """A way of making a model smaller by a little."""

    @property
    def name(self) -> str:
        """Of its folder, different for every step of a chain."""

    def stage(self, stage: StagePlan) -> StagePlan:
        """A stage as it is after this step; given as it is after the step before."""

    def description(self, stage: str) -> Any:
        """All that decides what the step makes of a stage's networks, as JSON."""

    def make(self, task: FittingTask, settings: TrainingSettings, source: Path, teacher: Path) -> None:
        """Make the network of a task out of the one in a file. teacher: the file of the uncompressed one."""


@dataclass(frozen=True)
class StepMaking:
    """Makes the networks of a step's folder; see job.Making.

    stages: those that are compressed. networks: by name, the first of the stages that have each. folder: of the step.
    source, teacher: model folders, of the step before and of the uncompressed model.
    """

    step: Step
    stages: tuple[str, ...]
    networks: dict[str, str]
    last_stage: str
    folder: Path
    source: Path
    teacher: Path
    options: CompressionOptions

    def make(self, task: FittingTask, settings: TrainingSettings) -> None:
        """Make a network smaller, or take it over where its stage is to stay as it is."""
        if task.model_file.exists():
            return
        source = self._counterpart(self.source, task.folder)
        if task.stage.name not in self.stages:
            take_over(source, task.model_file)
            return
        self.step.make(task, settings, source, self._counterpart(self.teacher, task.folder))

    def made_from(self, folder: Path) -> str:
        """Of the network before, the teacher, and what the step does."""
        stage = self._stage_of(folder)
        networks = [checksum(self._counterpart(place, folder)) for place in (self.source, self.teacher)]
        teaching = [self.options.distil, self.options.temperature, self.options.distil_features]
        unlabelled = str(self.options.unlabelled) if self.options.unlabelled else None
        return checksum_of([networks, self.step.description(stage), teaching, unlabelled, stage in self.stages])

    def _stage_of(self, folder: Path) -> str:
        """The stage of a fold's folder: stages/NAME/fold_0, or fold_0 for the last one."""
        parts = folder.relative_to(self.folder).parts
        return self.networks[parts[1]] if len(parts) > 2 else self.last_stage

    def check_made(self) -> None:
        """Raise OptionError where a network of this step was made out of another one, or in another way."""
        for path in sorted(self.folder.rglob("training.json")):
            record = FittingRecord.read(path)
            if record is not None and record.made_from != self.made_from(path.parent):
                raise OptionError(
                    f"{path.parent} was made out of another network, or in another way, than this run would.",
                    "Compress again with --restart, or bring back the model and the options.",
                )

    def _counterpart(self, model: Path, folder: Path) -> Path:
        path = model / folder.relative_to(self.folder) / WEIGHTS
        if not path.exists():
            raise FileError(
                path, "does not exist, but is to be compressed.", "Train it, or give --folds that the model has."
            )
        return path


@dataclass(frozen=True)
class Progress:
    """Where a chain stands. number: of the step, from 1, of count. taken: the steps before it that were good enough."""

    number: int
    count: int
    taken: tuple[Step, ...]
    step: Step


class Chain:
    """The steps of one compression. Made with a job whose folder becomes the compressed model.

    trainer: the name that the report gets. methods: names of those that are applied, in order.
    """

    def __init__(self, job: Job, trainer: str, source: Path, methods: Sequence[str] = ()) -> None:
        if job.options.pretrained is not None:
            raise OptionError("A compressed model starts from the one that it is made of.", "Leave out --pretrained.")
        self.trainer, self.source = trainer, source
        self.methods = tuple(methods) or (trainer,)
        self.compression = job.compression or CompressionOptions()
        self.job = self._job_of_source(job)
        self.stages = self._chosen_stages()

    def run(self, methods: Sequence[Sequence[Step]]) -> TrainingResult:
        """Make what is not made yet, as far as Dice allows; the last good step becomes the model.

        methods: the steps of each. Where one costs too much, those of its method that are left are left out, and the
        next method goes on from the last good one.
        """
        before = self._before()
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
        measures = StepMeasures(self.job, self.stages, self.source, self.job.folder / STEPS)
        write_report(self, measures, made, good)
        return TrainingResult(self.job.folder, {name: good.fold_dice.get(name) for name in self.job.fold_names})

    def _folder(self, step_name: str) -> Path:
        return self.job.folder / STEPS / step_name

    def _job_of_source(self, job: Job) -> Job:
        """The job with the networks, and unless told otherwise the folds, of the model that is compressed."""
        plans = plans_of(self.source, job)
        folds = job.options.folds or tuple(finished_folds(self.source))
        if not folds:
            raise FileError(self.source, "holds no finished fold.", "Train it first.")
        return replace(job, plans=plans, options=replace(job.options, folds=folds))

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

        dice: dict[str, float | None] = {}
        for name in self.job.fold_names:
            path = self.source / f"fold_{name}" / "summary.json"
            dice[name] = read_summary(path).mean_dice if path.exists() else None
        report = StepReport("full", mean_of(dice), dice, {})
        if self.compression.max_dice_drop is not None and report.dice is None:
            raise OptionError(
                f"{self.source} has no Dice of validation cases to hold --max-dice-drop against.",
                "Compress folds with validation cases, or leave the option out.",
            )
        return report

    def _run_step(self, progress: Progress) -> StepReport:
        step = progress.step
        folder = self._folder(step.name)
        record = folder / STEP_RECORD
        source = self._folder(progress.taken[-1].name) if progress.taken else self.source
        networks = {stage.network_name: stage.name for stage in first_of_each_network(self.job.stages)}
        last = self.job.stages[-1].name
        making = StepMaking(step, self.stages, networks, last, folder, source, self.source, self.compression)
        earlier = from_json(StepReport, read_json(record), record) if record.exists() else None
        if earlier is not None and set(self.job.fold_names) <= set(earlier.fold_dice):
            making.check_made()
            return earlier
        LOGGER.info("step %d of %d: %s", progress.number, progress.count, step.name)
        job = self._step_job(progress, making)
        dice = usual_trainer(job).run().fold_dice
        both = (earlier.fold_dice if earlier is not None else {}) | dice
        report = StepReport(step.name, mean_of(both), both, {})
        write_json(record, report)
        for regions in folder.glob("stages/*/regions"):
            shutil.rmtree(regions)
        return report

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
        limit = self.compression.max_dice_drop
        return limit is not None and (before.dice or 0.0) - (now.dice or 0.0) > limit


def plans_of(source: Path, job: Job) -> Plans:
    """The plans of a model that is to be compressed; OptionError where they are of other data than the job's."""
    if not (source / "plans.json").is_file():
        raise FileError(
            source, "is no model folder.", "Give --from RESULTS/DatasetNNN_Name/TRAINER__PLANS__CONFIGURATION."
        )
    plans = read_plans(source / "plans.json")
    if job.configuration not in plans.configurations:
        raise OptionError(
            f"{source} has no {job.configuration}.", f"It is a model of {', '.join(plans.configurations)}."
        )
    model = plans.configuration_stages(job.configuration)
    wanted = {stage.name: stage for stage in job.stages}
    same = [replace(stage, network=wanted[stage.name].network) for stage in model if stage.name in wanted]
    if len(same) < len(wanted) or decisive(plans, same) != decisive(job.plans, job.stages):
        raise OptionError(
            f"{source} was trained with other plans than {job.plans.name!r} are now.",
            "Give --plans-name of the plans that it was trained with, or train it again.",
        )
    return replace(plans, name=job.plans.name)


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


def promote(step: Path, model: Path) -> None:
    """Give all files of a step's folder a second name in the model folder, the networks last."""
    files = [path for path in sorted(step.rglob("*")) if path.is_file() and path.name not in (STEP_RECORD, REPORT)]
    for path in sorted(files, key=lambda path: path.name == WEIGHTS):
        take_over(path, model / path.relative_to(step))


def take_over(source: Path, path: Path) -> None:
    """A file under a second name; a copy where the file system cannot."""
    if not link_file(source, path):
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)


def begin_folder(job: Job) -> None:
    """With --restart, remove all steps and what became of them."""
    if job.options.restart:
        shutil.rmtree(job.folder, ignore_errors=True)
