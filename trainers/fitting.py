"""Fitting one network of one stage to some cases: the parts, chosen and handed to the loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

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
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.storage import save_network
from autoseg.plans import StagePlan
from autoseg.preprocessing.store import PredictedLabels, PreparedStore
from autoseg.runtime import autocast
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


def fit(task: FittingTask, settings: TrainingSettings) -> None:
    """Train, or go on training, until model.safetensors is there. Already finished: nothing is done."""
    if task.model_file.exists():
        return
    torch.manual_seed(settings.seed)
    make_ready(settings.device)
    network = _network(task, settings).to(settings.device)
    network.to(memory_format=memory_format(task.stage))  # type: ignore[call-overload]
    average = WeightAverage(network, settings.weight_average)
    checkpoint = task.folder / "checkpoint_latest.safetensors"
    hooks = _hooks(task, settings, average)
    loop = _loop(task, settings, network, [*hooks, Checkpoints(checkpoint, to_json(settings))])
    loop.run()
    save_network(task.model_file, average.network)
    checkpoint.unlink(missing_ok=True)


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
        batches = max(2, round(VALIDATION_SHARE * settings.iterations_per_epoch))
        source = _source(task, settings, training=False)
        validation = Validation(PatchScore(source, batches, computation_of(settings, task.stage)), average)
        hooks.append(validation)
        if settings.patience:
            hooks.append(EarlyStopping(validation, settings.patience))
        if settings.whole_validation_epochs:
            score = (WholeCases if task.regions is None else WholeRegions)(task, settings.device)
            hooks.append(WholeVolumeValidation(score, average, settings.whole_validation_epochs))
    return [*hooks, Reporter(task.title), History(task.folder)]


def _loop(task: FittingTask, settings: TrainingSettings, network: nn.Module, hooks: list[Hook]) -> TrainingLoop:
    labels, choice = task.job.dataset.labels, find_optimizer(settings.optimizer)
    loss = DeepSupervision(build_loss(settings.loss, labels, batch_dice=task.stage.batch_dice))
    source = _source(task, settings, training=True)
    return TrainingLoop(
        network,
        loss,
        choice.make(list(network.parameters()), settings.learning_rate),
        batches=partial(_batches, source, task.job.options.workers, settings.device),
        length=RunLength(settings.iterations_per_epoch, settings.epochs, settings.budget_seconds),
        computation=replace(
            computation_of(settings, task.stage, clip_norm=choice.clip_norm),
            compiled=is_worth_compiling(settings, task.stage),
        ),
        hooks=hooks,
    )


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


def _source(task: FittingTask, settings: TrainingSettings, *, training: bool) -> PatchSource:
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


def _batches(source: PatchSource, workers: int, device: str, start: int) -> Iterator[Batch]:
    with contextlib.closing(BatchLoader(source, start=start, workers=workers, pinned=is_gpu(device))) as loader:
        yield from on_device(loader, device)
