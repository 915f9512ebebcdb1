"""Training every fold of one stage: fit, then predict the held-out cases; what is finished is skipped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from autoseg.data.cache import CachedCases, cached_cases
from autoseg.data.folds import Fold
from autoseg.durations import duration
from autoseg.errors import OptionError
from autoseg.evaluation import Summary
from autoseg.inference.model_files import WEIGHTS
from autoseg.locating.experience import Experience
from autoseg.plans import StagePlan
from autoseg.preprocessing.store import PredictedLabels, PreparedStore
from autoseg.training.options import TrainingSettings, settle
from trainers.fitting import FittingTask, fit
from trainers.job import Job
from trainers.provenance import FittingRecord
from trainers.regions import OrganRegions, RegionMaker, region_dataset, regions_of
from trainers.validating import Validation

LOGGER = logging.getLogger(__name__)
FAR_LONGER = 3
"""Times the budget: such a plan is pointed out."""


@dataclass(frozen=True)
class StageTraining:
    """One stage of a job, with the labels of the stage before it in a cascade.

    organs: the prepared regions, where the stage segments an organ, with those of the stages that share its network;
    the job's dataset then consists of them.
    """

    job: Job
    stage: StagePlan
    previous: PredictedLabels | None = None
    organs: OrganRegions | None = None

    @cached_property
    def store(self) -> PreparedStore | CachedCases:
        """The prepared cases, kept in memory where the plan or the user wants that; missing ones are prepared now."""
        store = self.job.prepared(self.stage) if self.organs is None else self.organs.store
        options = self.job.options
        if not options.changes.applied_to(self.stage.training).cached:
            return store
        return cached_cases(store, store.case_ids(), processes=options.workers)

    @cached_property
    def settings(self) -> TrainingSettings:
        """What the plan and the options come to on this machine."""
        from autoseg.runtime import choose_device, choose_precision, use_threads

        options = self.job.options
        use_threads(options.threads)
        device = choose_device(options.device)
        stages = {stage.patch_size: stage for stage in self.job.plans.sharing(self.stage)}.values()
        chosen = [
            choose_precision(one.network, one.patch_size, one.batch_size, device=device, wanted=options.precision)
            for one in stages
        ]
        precision = chosen[0] if len(set(chosen)) == 1 else "fp32"
        return settle(self.stage.training, options, precision=precision, device=device)

    def folder(self, fold_name: str) -> Path:
        """The folder of a fold of this stage."""
        return self.job.stage_folder(self.stage) / f"fold_{fold_name}"

    def run(self, fold_name: str) -> Summary:
        """Train a fold and score its held-out cases."""
        return self.run_cases(self.job.fold(fold_name), self.folder(fold_name)).run()

    def run_cases(self, cases: Fold, folder: Path) -> Validation:
        """Train on any cases; gives the validation, not yet run."""
        if not cases.train:
            raise OptionError(f"{folder.name} has no training cases.", "Check the splits file.")
        task = self.task(cases, folder)
        settings = self._settle(task)
        make = fit if self.job.making is None else self.job.making.make
        make(task, settings)
        return Validation(task, settings)

    def task(self, cases: Fold, folder: Path) -> FittingTask:
        """Of the network that is to lie in a folder."""
        title = f"{self.job.dataset.name} {self.stage.network_name} {folder.name}"
        regions = None if self.organs is None else self.organs.of_cases
        return FittingTask(title, self.job, self.stage, self.store, cases, self.previous, folder, regions)

    def _settle(self, task: FittingTask) -> TrainingSettings:
        """The settings of a fold, which may have been started or finished before; writes its record.

        Raises OptionError where it was made from other cases or plans.
        """
        earlier = FittingRecord.read(task.record_file)
        settings = self.settings
        if earlier is not None and self.job.options.precision == "auto":
            settings = earlier.settings_on_resuming(settings)
        record = FittingRecord.of(settings, self.job.plans, self.stage, task.cases)
        if self.job.making is not None:
            record = replace(record, made_from=self.job.making.made_from(task.folder))
        if earlier is not None:
            earlier.refuse_other(record, task.folder)
        if not task.model_file.exists():
            if earlier is None or not task.checkpoint.exists():  # a checkpoint may refuse these settings
                record.write(task.record_file)
            return settings
        changed = earlier.changed_settings(settings) if earlier is not None else ""
        with_others = f" with other settings ({changed})" if changed else ""
        LOGGER.info("%s: already trained%s, skipped (--restart trains it again)", task.title, with_others)
        return settings

    def _hint(self, budget_seconds: float) -> str:
        """What to do where the plan was made for a far longer training: a network too large to learn in time."""
        planned = self.stage.training.budget_seconds
        if not planned or planned < FAR_LONGER * budget_seconds:
            return ""
        shorter = "autoseg_plan_and_preprocess with the same --budget finds a network that learns faster"
        return f" The plan was made for {duration(planned)}: {shorter}."

    def left(self, fold_names: Sequence[str]) -> int:
        """How many of these folds have no network yet."""
        return sum(not (self.folder(name) / WEIGHTS).exists() for name in fold_names)

    def announcement(self, runs: int) -> str:
        """How long the trainings of this stage will take, as far as that is known beforehand."""
        if not runs:
            return f"{self.stage.network_name}: trained already."
        settings = self.settings
        what = f"{self.stage.network_name}: {runs} training{'s' if runs != 1 else ''}"
        if settings.budget_seconds:
            each = duration(settings.budget_seconds)
            text = f"{what} of {each} each, {duration(runs * settings.budget_seconds)} in all, and then validation"
            return f"{text}.{self._hint(settings.budget_seconds)}"
        assert settings.epochs is not None
        seconds = runs * settings.epochs * settings.iterations_per_epoch * self._seconds_per_iteration()
        lengths = f"{settings.epochs} epochs of {settings.iterations_per_epoch} iterations"
        return f"{what} of {lengths} each, about {duration(seconds)} in all on this machine, and then validation."

    def _seconds_per_iteration(self) -> float:
        """As the planner estimates it: by the multiply-adds of a step."""
        from autoseg.networks.cost import network_cost
        from autoseg.runtime import seconds_per_multiply_add
        from autoseg.runtime.speed import FORWARD_PASSES_PER_STEP

        costs = [
            network_cost(one.network, one.patch_size, one.batch_size).multiply_adds
            for one in self.job.plans.sharing(self.stage)
            for _ in (one.region.organs if one.region else ("all",))  # a pair has twice the regions
        ]
        mean = sum(costs) / len(costs)
        return FORWARD_PASSES_PER_STEP * mean * seconds_per_multiply_add(self.settings.device)


def organ_training(
    job: Job, makers: Sequence[RegionMaker], cases: Fold, experience: Experience
) -> tuple[StageTraining, Fold]:
    """The training of the network of one stage, or of those that share it, and its regions as training cases.

    makers: of these stages. cases: of the dataset. OptionError where a stage has no region to learn from.
    """
    for maker in makers:
        if not maker.ids(cases.train):
            raise OptionError(
                f"No training case of the fold has {' or '.join(maker.organs)}.",
                "Put cases that have it into every fold of the splits file.",
            )
    train, validation = (
        tuple(region for maker in makers for region in maker.ids(ids)) for ids in (cases.train, cases.validation)
    )
    dataset, first = region_dataset(job.dataset, (*train, *validation)), makers[0].stage
    job = replace(job, dataset=dataset, plans=job.plans.of_organ(first))
    organs = regions_of(makers, (*cases.train, *cases.validation), experience)
    return StageTraining(job, first, organs=organs), Fold(train, validation)
