"""What a trainer is given and what it gives back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from autoseg.compression.options import CompressionOptions
from autoseg.data.folds import Fold, dataset_folds, keep_folds
from autoseg.dataset import Dataset, read_channel_names
from autoseg.errors import OptionError
from autoseg.files import read_json, write_json
from autoseg.inference.model_files import ModelFiles, finished_folds
from autoseg.labels import organ_labels, read_labels_entry
from autoseg.plans import Plans, StagePlan, read_plans, write_plans
from autoseg.preprocessing.store import PreparedStore
from autoseg.training.options import TrainingOptions
from autoseg.workspace import Workspace
from trainers.provenance import decisive

if TYPE_CHECKING:
    from autoseg.training.options import TrainingSettings
    from trainers.fitting import FittingTask

ALL_CASES = "all"
REST = "rest_of"
"""Begins the name of the folder with the network that predicts what no trained fold of an earlier stage held out."""


class Making(Protocol):
    """A way of making the networks of a job, other than training them from nothing."""

    @property
    def teacher_files(self) -> ModelFiles:
        """The finished model that they are made of, with the folds that are asked for."""

    def make(self, task: FittingTask, settings: TrainingSettings) -> None:
        """Make the network of a task, or go on making it, until its file is there."""

    def made_from(self, folder: Path) -> str:
        """A checksum of all that decides the network of this folder, beside its cases, plans and settings."""


@dataclass(frozen=True)
class Job:
    """One configuration of one dataset, to be trained.

    folder: the model folder that is made. options: of this run. compression: what trainers that compress are told.
    making: how its networks are made, in place of training them from nothing. earlier_folds: of the stages before the
    last, which give every case labels that its network has not seen; empty for the usual ones, see unseen.Unseen.
    """

    workspace: Workspace
    dataset: Dataset
    plans: Plans
    configuration: str
    folder: Path
    options: TrainingOptions
    compression: CompressionOptions | None = None
    making: Making | None = None
    earlier_folds: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[StagePlan, ...]:
        """The stages of the configuration in order."""
        return self.plans.configuration_stages(self.configuration)

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """All folds of the dataset, from its splits file, or made anew: begin() writes them there."""
        return dataset_folds(self.dataset, self.workspace.prepared(self.dataset.name))

    @property
    def fold_names(self) -> tuple[str, ...]:
        """The folds that this run is to train: those asked for, else every one."""
        known = tuple(str(number) for number in range(len(self.folds)))
        names = self.options.folds or known
        for name in names:
            if name not in (*known, ALL_CASES):
                raise OptionError(f"There is no fold {name}.", f"The dataset has folds {', '.join(known)}, and 'all'.")
        return names

    @property
    def fold_count(self) -> int:
        """How many folds this run is to train; the splits file is not read where they were named."""
        return len(self.options.folds or self.fold_names)

    def fold(self, name: str) -> Fold:
        """The cases of a fold; "all" trains on every case and has none to validate on."""
        if name == ALL_CASES:
            return Fold(tuple(case.id for case in self.dataset.cases), ())
        return self.folds[int(name)]

    def stage_folder(self, stage: StagePlan) -> Path:
        """Where the folds of a stage lie: the last stage's on top of the model folder, earlier ones under stages/.

        So do all that segment an organ, because the answer is made of several of them; those that share a network share
        a folder.
        """
        on_top = stage is self.stages[-1] and stage.region is None
        return self.folder if on_top else self.folder / "stages" / stage.network_name

    def prepared(self, stage: StagePlan) -> PreparedStore:
        """The prepared cases of a stage; what is missing or stale is prepared now."""
        from autoseg.preprocessing.preparation import prepare_dataset

        folder = self.workspace.grid(self.dataset.name, self.plans.name, stage.grid)
        return prepare_dataset(self.dataset, self.plans, stage, folder)

    def begin(self) -> None:
        """Make the model folder ready: what --restart is to train again goes, and it gets plans.json and dataset.json.

        With them it needs no other folder. The plans there hold this configuration alone: whatever the folder is called
        later, there is no doubt about it. Raises OptionError where networks in the folder were made with other plans,
        labels or channels: beside these they would be silently wrong.
        """
        self._check_channels()
        stages = {stage.name: stage for stage in self.stages}
        plans = replace(self.plans, stages=stages, configurations={self.configuration: tuple(stages)})
        changed = self._changed(plans)
        if changed and not self.options.restart:
            raise OptionError(
                f"{self.folder} was started with other {changed} than now.",
                "Train it again with --restart, or keep both by planning with another --plans-name.",
            )
        if self.options.restart:
            self._clear(changed)
        keep_folds(self.dataset, self.workspace.prepared(self.dataset.name))
        write_plans(self.folder / "plans.json", plans)
        write_json(self.folder / "dataset.json", self.dataset.description)

    def _check_channels(self) -> None:
        """Raise OptionError where the dataset has other classes or channels than the plans were made for."""
        labels = self.dataset.labels
        for stage in self.stages:
            inputs = len(self.dataset.channel_names) + (len(labels.classes) if stage.previous_stage else 0)
            outputs = (labels if stage.region is None else organ_labels(labels)).output_count
            network = stage.network
            if (network.in_channels, network.out_channels) != (inputs, outputs):
                raise OptionError(
                    f"The plans {self.plans.name!r} have a network of {network.in_channels} inputs and "
                    f"{network.out_channels} outputs, but the dataset now asks for {inputs} and {outputs}.",
                    "Its channels or labels have changed: run autoseg_plan_and_preprocess again.",
                )

    def _changed(self, plans: Plans) -> str:
        """What the folder was started with that is another now: plans, labels or channels; empty for nothing."""
        plans_file, dataset_file = self.folder / "plans.json", self.folder / "dataset.json"
        if plans_file.exists():
            before = read_plans(plans_file)
            if decisive(before, before.stages.values()) != decisive(plans, plans.stages.values()):
                return "plans"
        if dataset_file.exists():
            description = read_json(dataset_file)
            if read_labels_entry(description, dataset_file) != self.dataset.labels:
                return "labels"
            if read_channel_names(description, dataset_file) != self.dataset.channel_names:
                return "channels"
        return ""

    def _clear(self, changed: str) -> None:
        """Remove the folds that are trained again; where plans or dataset changed, all that was made of them."""
        kept = [name for name in finished_folds(self.folder) if name not in self.fold_names]
        if changed and kept:
            raise OptionError(
                f"{self.folder} also holds fold {kept[0]}, which was trained with other {changed} than now.",
                f"Train all of them again: --restart --folds {' '.join([*self.fold_names, *kept])}.",
            )
        stages = self.folder / "stages"
        if changed:
            again = [stages, *self.folder.glob("fold_*/")]
        else:
            again = [
                folder / f"fold_{name}" for folder in (self.folder, *stages.glob("*/")) for name in self.fold_names
            ]
            again += stages.glob(f"*/{REST}_*/")
        for path in again:
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class TrainingResult:
    """A trained configuration.

    folder: the model folder. fold_dice: mean Dice over the validation cases, whole, of each fold that is finished; None
    for a fold without validation cases.
    """

    folder: Path
    fold_dice: dict[str, float | None]

    @property
    def mean_dice(self) -> float | None:
        """The mean over folds; None where no fold has validation cases."""
        known = [dice for dice in self.fold_dice.values() if dice is not None]
        return sum(known) / len(known) if known else None


def first_of_each_network(stages: Sequence[StagePlan]) -> list[StagePlan]:
    """The stages without those that share the network of an earlier one."""
    found: dict[str, StagePlan] = {}
    for stage in stages:
        found.setdefault(stage.network_name, stage)
    return list(found.values())
