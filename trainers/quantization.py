"""Quantisation of a finished model: trained on with its weights rounded to a few levels, and stored so."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from autoseg.compression.options import CompressionOptions
from autoseg.compression.quantization import QuantizationOptions, bake, quantize
from autoseg.networks.storage import load_whole_network
from autoseg.plans import StagePlan
from autoseg.training.options import TrainingSettings
from trainers.compressing import Chain
from trainers.fitting import Additions, FittingTask, finish_fitting, trained
from trainers.job import Job, TrainingResult
from trainers.making import Step
from trainers.source import source_of
from trainers.teaching import teacher_of
from trainers.usual import usual_trainer

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class QuantizationStep:
    """The one step; see making.Step."""

    options: CompressionOptions

    @property
    def name(self) -> str:
        """With the number of levels."""
        return f"quantization_{self.options.levels}"

    def stage(self, stage: StagePlan) -> StagePlan:
        """As it is."""
        return stage

    def description(self, stage: str) -> Any:
        """The levels and their range."""
        return [self.options.levels, self.options.level_range]

    def make(self, task: FittingTask, settings: TrainingSettings, source: Path, teacher: Path) -> None:
        """Round, train, store with the levels."""
        torch.manual_seed(settings.seed)
        network = load_whole_network(source, device=settings.device)
        quantize(network, QuantizationOptions(self.options.levels, self.options.level_range))
        result = trained(task, settings, network, Additions((), teacher_of(teacher, task, settings, self.options)))
        grids = bake(result)
        finish_fitting(task, result, grids)
        LOGGER.info("%s: %d levels, %d bytes", task.title, self.options.levels, task.model_file.stat().st_size)


class QuantizationTrainer:
    """Brings the weights of a finished model of any configuration to a few levels, with retraining."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.source = source_of(job)

    @cached_property
    def chain(self) -> Chain:
        """The steps' surroundings; reads the plans of the model that is compressed."""
        return Chain(self.job, "quantization", self.source)

    def trainings(self) -> dict[str, int]:
        """How many networks the step takes, at most, by stage."""
        return usual_trainer(self.chain.job).trainings()

    def run(self) -> TrainingResult:
        """Make what is not made yet."""
        return self.chain.run([quantization_steps(self.chain)])


def quantization_steps(chain: Chain) -> list[Step]:
    """The step of a chain."""
    return [QuantizationStep(chain.compression)]
