"""Fitting one network of one stage to some cases: the parts, chosen and handed to the loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from autoseg.data.cache import CachedCases
from autoseg.data.folds import Fold
from autoseg.data.loader import BatchLoader
from autoseg.data.regions import CaseRegions
from autoseg.data.source import Batch, PatchSource
from autoseg.data.spatial import SpatialLimits
from autoseg.data.transfer import on_device
from autoseg.files import to_json
from autoseg.losses import build_loss
from autoseg.losses.deep_supervision import DeepSupervision
from autoseg.networks import build_network
from autoseg.networks.levels import Grid
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.storage import save_network
from autoseg.plans import StagePlan
from autoseg.preprocessing.store import PredictedLabels, PreparedStore
from autoseg.runtime import autocast
from autoseg.runtime.allocator import give_back_freed_memory
from autoseg.runtime.gpu import is_gpu, make_ready
from autoseg.training.checkpoint import Checkpoints
from autoseg.training.hooks import EarlyStopping, LearningRate, Validation, WeightAverage, WholeVolumeValidation
from autoseg.training.loop import Computation, Hook, RunLength, TrainingLoop
from autoseg.training.optimizers import find_optimizer
from autoseg.training.options import TrainingSettings
from autoseg.training.reporting import History, Reporter
from autoseg.training.schedules import Cycles
from trainers.compiling import is_worth_compiling
from trainers.job import Job
from trainers.pretrained import load_pretrained
from trainers.scoring import PatchScore
from trainers.whole import WholeCases, WholeRegions

VALIDATION_SHARE = 0.04


@dataclass(frozen=True)
class FittingTask:
    """A network to be fitted.

    title: for the progress report. cases: of training and of validation. previous: labels of the stage before, in a
    cascade. folder: gets model.safetensors, training.json, training.jsonl, progress.png and a checkpoint. regions:
    where each case is looked at, None for everywhere.
    """

    title: str
    job: Job
    stage: StagePlan
    store: PreparedStore | CachedCases
    cases: Fold
    previous: PredictedLabels | None
    folder: Path
    regions: Mapping[str, CaseRegions] | None = None

    @property
    def record_file(self) -> Path:
        """What the network is made from; written before training."""
        return self.folder / "training.json"

    @property
    def model_file(self) -> Path:
        """The finished network; while it is missing, training is not over."""
        return self.folder / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        """From which a stopped training continues."""
        return self.folder / "checkpoint_latest.safetensors"


@dataclass(frozen=True)
class Additions:
    """What a training has beyond the usual. hooks: they see every step before the average of the weights does."""

    hooks: tuple[Hook, ...] = ()
    teaching: Teaching | None = None


class Teaching(Protocol):
    """A part of the training that changes the loss and what it is given."""

    def loss(self, loss: nn.Module, student: nn.Module) -> nn.Module:
        """The loss in place of the usual one."""

    def batches(self, batches: Callable[[int], Iterator[Batch]]) -> Callable[[int], Iterator[Any]]:
        """The batches from an iteration on, in place of the usual ones."""

    def end(self) -> None:
        """Leave the student as it was before loss()."""


USUAL = Additions()


def fit(task: FittingTask, settings: TrainingSettings) -> None:
    """Train, or go on training, until model.safetensors is there. Already finished: nothing is done."""
    if task.model_file.exists():
        return
    torch.manual_seed(settings.seed)
    network = _network(task, settings)
    finish_fitting(task, trained(task, settings, network))


def trained(
    task: FittingTask, settings: TrainingSettings, network: nn.Module, additions: Additions = USUAL
) -> nn.Module:
    """Train a network, or go on where a checkpoint of this task stands; gives what becomes the model.

    The checkpoint stays until finish_fitting.
    """
    make_ready(settings.device)
    network = network.to(settings.device).train()
    network.to(memory_format=memory_format(task.stage))  # type: ignore[call-overload]
    average = WeightAverage(network, settings.weight_average)
    hooks = [*additions.hooks, *_hooks(task, settings, average), Checkpoints(task.checkpoint, to_json(settings))]
    _loop(task, settings, network, hooks, additions.teaching).run()
    give_back_freed_memory()
    if additions.teaching is not None:
        additions.teaching.end()
    return average.network


def finish_fitting(task: FittingTask, network: nn.Module, grids: Mapping[str, Grid] | None = None) -> None:
    """Write the finished network; the checkpoint is not needed any more. grids: as in save_network."""
    save_network(task.model_file, network, grids)
    task.checkpoint.unlink(missing_ok=True)


def _network(task: FittingTask, settings: TrainingSettings) -> nn.Module:
    network: Any = build_network(task.stage.network)
    network.decoder.expect_background(exclusive=not task.job.dataset.labels.has_regions)
    if settings.pretrained:
        load_pretrained(network, Path(settings.pretrained), task.job.dataset.labels, organ=task.stage.name)
    sharing = task.job.plans.sharing(task.stage)
    is_shared = task.stage.network_name != task.stage.name
    return SharedNetwork(network, [stage.name for stage in sharing]) if is_shared else network


def memory_format(stage: StagePlan) -> Any:
    """Channels last: what convolutions on a CPU, and tensor cores, want."""
    return torch.channels_last if stage.is_2d else torch.channels_last_3d


def _hooks(task: FittingTask, settings: TrainingSettings, average: WeightAverage) -> list[Hook]:
    rate = LearningRate(
        settings.schedule,
        settings.learning_rate,
        warmup_iterations=settings.warmup_iterations,
        cycles=Cycles(settings.first_cycle_epochs, settings.cycle_growth),
    )
    hooks: list[Hook] = [rate, average]
    if task.cases.validation:
        organs = len(task.job.plans.sharing(task.stage))  # a batch is of one
        batches = max(2, organs, round(VALIDATION_SHARE * settings.iterations_per_epoch))
        source = _patches(task, settings, training=False)
        validation = Validation(PatchScore(source, batches, computation_of(settings, task.stage)), average)
        hooks.append(validation)
        if settings.patience:
            hooks.append(EarlyStopping(validation, settings.patience))
        if settings.whole_validation_epochs:
            score = (WholeCases if task.regions is None else WholeRegions)(task, settings.device)
            hooks.append(WholeVolumeValidation(score, average, settings.whole_validation_epochs))
    return [*hooks, Reporter(task.title), History(task.folder)]


def _loop(
    task: FittingTask, settings: TrainingSettings, network: nn.Module, hooks: list[Hook], teaching: Teaching | None
) -> TrainingLoop:
    choice, loss = find_optimizer(settings.optimizer), usual_loss(task, settings)
    batches: Any = partial(batches_of, training_patches(task, settings), task.job.options.workers, settings.device)
    if teaching is not None:
        loss, batches = teaching.loss(loss, network), teaching.batches(batches)
    return TrainingLoop(
        network,
        loss,
        choice.make(list(network.parameters()), settings.learning_rate),
        batches=batches,
        length=RunLength(settings.iterations_per_epoch, settings.epochs, settings.budget_seconds),
        computation=replace(
            computation_of(settings, task.stage, clip_norm=choice.clip_norm),
            compiled=is_worth_compiling(settings, task.stage),
        ),
        hooks=hooks,
    )


def usual_loss(task: FittingTask, settings: TrainingSettings) -> nn.Module:
    """The loss of the settings at every level of the decoder."""
    loss = build_loss(settings.loss, task.job.dataset.labels, batch_dice=task.stage.batch_dice)
    return DeepSupervision(loss)


def computation_of(settings: TrainingSettings, stage: StagePlan, *, clip_norm: float = 0.0) -> Computation:
    """Where and in which precision the steps of these settings are computed."""
    needs_scaler = settings.precision == "fp16"
    return Computation(
        settings.device,
        partial(autocast, settings.precision, settings.device),
        clip_norm,
        torch.amp.GradScaler(settings.device) if needs_scaler else None,
        memory_format(stage),
    )


def training_patches(task: FittingTask, settings: TrainingSettings) -> PatchSource:
    """The patches that the task's network learns from."""
    return _patches(task, settings, training=True)


def _patches(task: FittingTask, settings: TrainingSettings, *, training: bool) -> PatchSource:
    return PatchSource(
        task.store,
        task.cases.train if training else task.cases.validation,
        plans=task.job.plans,
        stage=task.stage,
        labels=task.job.dataset.labels,
        previous=task.previous,
        seed=settings.seed,
        augmentation=settings.augmentation if training else 0.0,
        limits=SpatialLimits(settings.rotation_degrees, settings.scales, settings.shift_voxels),
        foreground_fraction=settings.foreground_fraction,
        crops_per_case=settings.crops_per_case,
        regions=task.regions,
    )


def batches_of(source: PatchSource, workers: int, device: str, start: int) -> Iterator[Batch]:
    """The batches from number `start` on, made in the background, on the device."""
    with contextlib.closing(BatchLoader(source, start=start, workers=workers, pinned=is_gpu(device))) as loader:
        yield from on_device(loader, device)
