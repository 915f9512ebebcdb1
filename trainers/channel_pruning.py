"""Channel pruning of a finished model: mask the weakest filters, retrain with them masked, cut; then a few more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.compression.channel_pruning import Kept, channel_masks, cut, mask_network, strongest
from autoseg.compression.course import StageCourse, stage_course, without_idle_steps
from autoseg.compression.criteria import TAYLOR, Scores, score_weights, taylor
from autoseg.compression.options import CompressionOptions
from autoseg.compression.shared_coupling import network_groups
from autoseg.errors import OptionError
from autoseg.files import read_artefact, read_json, to_json, write_json
from autoseg.inference.model_files import WEIGHTS
from autoseg.networks.storage import load_whole_network
from autoseg.plans import NetworkSpec, StagePlan
from autoseg.training.masks import Masks
from autoseg.training.options import TrainingSettings
from trainers.compressing import Chain
from trainers.expected_size import expected_bytes, followed_by
from trainers.finished_tasks import finished_task
from trainers.fitting import (
    Additions,
    FittingTask,
    computation_of,
    finish_fitting,
    trained,
    training_patches,
    usual_loss,
)
from trainers.job import Job, TrainingResult, first_of_each_network
from trainers.making import Step
from trainers.source import source_of
from trainers.teaching import teacher_of
from trainers.usual import usual_trainer

LOGGER = logging.getLogger(__name__)
COURSE = "course.json"
CHANNELS = "channels.json"
"""Beside a pruned network: by group, which channels of the network before it were kept."""
TAYLOR_BATCHES = 20
DECISIVE = ("criterion", "allocation", "granularity", "pruning_schedule", "target_latency", "target_bytes", "stages")
"""Of the options, those that decide the course."""


@dataclass(frozen=True)
class Course:
    """course.json of a pruned model: where its steps lead, decided before the first. options: what decided it."""

    options: dict[str, Any]
    stages: dict[str, StageCourse]
    schema: int = 1


@dataclass(frozen=True)
class PruningStep:
    """Step `number` of a course; see making.Step."""

    number: int
    courses: dict[str, StageCourse]
    options: CompressionOptions

    @property
    def name(self) -> str:
        """channel_pruning_01, ..."""
        return f"channel_pruning_{self.number + 1:02d}"

    def stage(self, stage: StagePlan) -> StagePlan:
        """The stage with the network's widths after this step."""
        return replace(stage, network=self.courses[stage.name].spec(stage.network, self.number))

    def description(self, stage: str) -> Any:
        """The widths, and what ranks the filters."""
        course = self.courses.get(stage)
        return [self.options.criterion, None if course is None else course.widths[self.number]]

    def make(self, task: FittingTask, settings: TrainingSettings, source: Path, teacher: Path) -> None:
        """Mask, train, cut and store. The same filters are chosen when a stopped run goes on."""
        torch.manual_seed(settings.seed)
        network = load_whole_network(source, device=settings.device)
        coupling = network_groups(network)
        kept = self._kept(network, task, settings)
        masks = channel_masks(network, coupling, kept)
        mask_network(network, masks)
        teaching = teacher_of(teacher, task, settings, self.options)
        result = trained(task, settings, network, Additions((Masks(masks),), teaching))
        check_stayed_masked(result, masks)
        self._finish(task, result, kept)

    def _kept(self, network: nn.Module, task: FittingTask, settings: TrainingSettings) -> Kept:
        """The channels that stay, as chosen when this step began."""
        path = task.folder / CHANNELS
        if not (path.exists() and task.checkpoint.exists()):
            scores = self._scores(network, task, settings)
            kept = strongest(scores, self.courses[task.stage.name].widths[self.number])
            write_json(path, {name: index.tolist() for name, index in kept.items()})
        return {name: torch.tensor(index) for name, index in read_json(path).items()}

    def _finish(self, task: FittingTask, result: nn.Module, kept: Kept) -> None:
        pruned = cut(result, kept)
        before, after = pruned.report.parameters
        LOGGER.info(
            "%s: %.1f %% of the filters cut, %d of %d weights left",
            task.title,
            100 * pruned.report.ratio,
            after,
            before,
        )
        finish_fitting(task, pruned.network)

    def _scores(self, network: nn.Module, task: FittingTask, settings: TrainingSettings) -> Scores:
        if self.options.criterion == TAYLOR:
            return taylor_scores(network, task, settings)
        return score_weights(self.options.criterion, network, network_groups(network))


def taylor_scores(network: nn.Module, task: FittingTask, settings: TrainingSettings) -> Scores:
    """What removing each channel would change the loss of the task by, on training patches. network: on the device."""
    source = training_patches(task, settings)
    loss, computation = usual_loss(task, settings), computation_of(settings, task.stage)

    def loss_of(network: nn.Module, batch: Any) -> Tensor:
        with computation.autocast():
            outputs = network(computation.move(batch.image))
        return loss(outputs, batch.target.to(settings.device))

    count = max(TAYLOR_BATCHES, len(task.job.plans.sharing(task.stage)))  # a batch is of one organ
    batches = (source.batch(index) for index in range(count))
    return taylor(network.train(), network_groups(network), batches, loss_of)


def check_stayed_masked(network: nn.Module, masks: dict[str, Tensor]) -> None:
    """Our own invariant: training moved nothing that is cut."""
    for name, parameter in network.named_parameters():
        assert name not in masks or not parameter.detach()[~masks[name]].any(), name


class ChannelPruningTrainer:
    """Prunes the channels of a finished model of any configuration, on a schedule, with retraining."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.source = source_of(job)

    @cached_property
    def chain(self) -> Chain:
        """The steps' surroundings; reads the plans of the model that is compressed."""
        return Chain(self.job, "channel_pruning", self.source)

    def trainings(self) -> dict[str, int]:
        """How many networks every step takes, at most, by stage; a budget is shared out among the steps."""
        return usual_trainer(self.chain.job).trainings()

    def run(self) -> TrainingResult:
        """Make what is not made yet."""
        return self.chain.run([pruning_steps(self.chain)])


def pruning_steps(chain: Chain) -> list[Step]:
    """The steps of a chain's course; where it is not in course.json yet, it is decided now, for the chain to keep."""
    options = chain.compression
    courses = _course(chain).stages
    count = len(next(iter(courses.values())).ratios)
    return [PruningStep(number, courses, options) for number in range(count)]


def _course(chain: Chain) -> Course:
    path = chain.job.folder / COURSE
    decided_by = {name: to_json(getattr(chain.compression, name)) for name in DECISIVE}
    if chain.compression.target_bytes is not None:
        decided_by["followed_by"] = followed_by(chain)
    if path.exists() and not chain.job.options.restart:
        course = read_artefact(Course, path, remedy="Compress again with --restart.")
        changed = [name for name in decided_by if course.options.get(name) != decided_by[name]]
        if changed:
            raise OptionError(
                f"{chain.job.folder} was begun with {changed[0]} {course.options.get(changed[0])}, not "
                f"{decided_by[changed[0]]}.",
                "Give the same options to continue, or --restart to compress again from the full model.",
            )
        return course
    stages = [stage for stage in chain.job.stages if stage.name in chain.stages]
    of_network = {stage.network_name: _decided(chain, stage) for stage in first_of_each_network(stages)}
    found = {stage.name: of_network[stage.network_name] for stage in stages}
    course = Course(decided_by, without_idle_steps(found, stages))
    for name, one in {stage.network_name: course.stages[stage.name] for stage in stages}.items():
        LOGGER.info("%s: filters cut step by step: %s", name, ", ".join(f"{100 * ratio:g} %" for ratio in one.ratios))
    chain.decided[COURSE] = course
    return course


def _decided(chain: Chain, stage: StagePlan) -> StageCourse:
    from autoseg.compression.latency import measured_latency
    from trainers.stage import StageTraining

    settings = StageTraining(chain.job, stage).settings

    def seconds(stage: StagePlan, networks: Sequence[NetworkSpec]) -> Sequence[float]:
        largest = chain.job.plans.largest_sharing(stage)
        found = measured_latency(largest, networks, device=settings.device).seconds
        LOGGER.info("%s: %s ms per patch", stage.name, " and ".join(f"{1000 * value:.1f}" for value in found))
        return found

    scores = _fold_scores(chain, stage, settings) if chain.compression.allocation == "global" else []
    file_bytes = None if chain.compression.target_bytes is None else expected_bytes(chain, stage)
    return stage_course(stage, chain.compression, seconds, scores, file_bytes=file_bytes)


def _fold_scores(chain: Chain, stage: StagePlan, settings: TrainingSettings) -> list[Scores]:
    """Of the networks of all folds of a stage."""
    model = replace(chain.job, folder=chain.source)
    found = []
    for name in chain.job.fold_names:
        path = model.stage_folder(stage) / f"fold_{name}" / WEIGHTS
        if chain.compression.criterion == TAYLOR:
            network = load_whole_network(path, device=settings.device)
            found.append(taylor_scores(network, finished_task(model, stage, name), settings))
        else:
            network = load_whole_network(path)
            found.append(score_weights(chain.compression.criterion, network, network_groups(network)))
    return found
