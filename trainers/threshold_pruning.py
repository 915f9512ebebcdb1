"""Threshold pruning of a finished model: small weights become zero, the others are trained on; then a few more."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from autoseg.compression.options import CompressionOptions
from autoseg.compression.threshold_pruning import threshold_masks, thresholds, zero_masked
from autoseg.compression.weights import sparsity
from autoseg.networks.storage import load_whole_network
from autoseg.plans import StagePlan
from autoseg.training.masks import Masks
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
class ThresholdStep:
    """One threshold; see making.Step."""

    number: int
    threshold: float
    options: CompressionOptions

    @property
    def name(self) -> str:
        """threshold_pruning_01, ..."""
        return f"threshold_pruning_{self.number + 1:02d}"

    def stage(self, stage: StagePlan) -> StagePlan:
        """As it is: zeros take no part in the network's structure."""
        return stage

    def description(self, stage: str) -> Any:
        """The threshold, and what it counts in."""
        return [self.threshold, self.options.threshold_scale]

    def make(self, task: FittingTask, settings: TrainingSettings, source: Path, teacher: Path) -> None:
        """Zero, train, store. The same weights are zeroed when a stopped run goes on: they are the source's."""
        torch.manual_seed(settings.seed)
        network = load_whole_network(source, device=settings.device)
        masks = threshold_masks(network, self.threshold, relative=self.options.threshold_scale == "layer")
        zero_masked(network, masks)
        teaching = teacher_of(teacher, task, settings, self.options)
        result = trained(task, settings, network, Additions((Masks(masks),), teaching))
        zero_masked(result, masks)
        LOGGER.info(
            "%s: threshold %g, %.1f %% of the weights are zero", task.title, self.threshold, 100 * sparsity(result)
        )
        finish_fitting(task, result)


class ThresholdPruningTrainer:
    """Zeroes the small weights of a finished model of any configuration, threshold by threshold, with retraining."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.source = source_of(job)

    @cached_property
    def chain(self) -> Chain:
        """The steps' surroundings; reads the plans of the model that is compressed."""
        return Chain(self.job, "threshold_pruning", self.source)

    def trainings(self) -> dict[str, int]:
        """How many networks every step takes, at most, by stage; a budget is shared out among the steps."""
        return usual_trainer(self.chain.job).trainings()

    def run(self) -> TrainingResult:
        """Make what is not made yet."""
        return self.chain.run([threshold_steps(self.chain)])


def threshold_steps(chain: Chain) -> list[Step]:
    """A step per threshold."""
    options = chain.compression
    values = thresholds(*options.threshold_schedule)
    return [ThresholdStep(number, value, options) for number, value in enumerate(values)]
