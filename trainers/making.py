"""A step of a compression, and how the networks of its folder are made out of those of another one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from autoseg.compression.options import CompressionOptions
from autoseg.errors import FileError, OptionError
from autoseg.files import checksum, checksum_of
from autoseg.inference.model_files import WEIGHTS, ModelFiles, read_model_files
from autoseg.plans import StagePlan
from autoseg.training.options import TrainingSettings
from trainers.compressed_folder import take_over
from trainers.fitting import FittingTask
from trainers.provenance import FittingRecord
from trainers.unlabelled import networks_before


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
    source, teacher: model folders, of the step before and of the uncompressed model. configuration, folds: of the
    latter, as they are asked for.
    """

    step: Step
    stages: tuple[str, ...]
    networks: dict[str, str]
    last_stage: str
    folder: Path
    source: Path
    teacher: Path
    configuration: str
    folds: tuple[str, ...]
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
        parts = [networks, self.step.description(stage), teaching, unlabelled, stage in self.stages]
        if unlabelled and (guides := networks_before(self.teacher_files, stage)):
            parts.append([checksum(path) for path in guides])
        return checksum_of(parts)

    @cached_property
    def teacher_files(self) -> ModelFiles:
        """Of the uncompressed model."""
        return read_model_files(self.teacher, folds=self.folds or None, configuration=self.configuration)

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
                    f"Delete {self.folder} to make this step again, compress again with --restart, or bring back the "
                    "model and the options.",
                )

    def _counterpart(self, model: Path, folder: Path) -> Path:
        path = model / folder.relative_to(self.folder) / WEIGHTS
        if not path.exists():
            raise FileError(
                path, "does not exist, but is to be compressed.", "Train it, or give --folds that the model has."
            )
        return path
