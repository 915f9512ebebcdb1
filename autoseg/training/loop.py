"""The one training loop: batches, a network, a loss, an optimiser and hooks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from autoseg.errors import ResourceError
from autoseg.runtime.compiled import CompiledNetwork
from autoseg.training.schedules import Position

MAX_BAD_STEPS = 20
LEAST_EPOCH_SECONDS = 10.0


class Hook:
    """Something that happens around the steps of a loop; override what is needed.

    start         once, after a checkpoint was restored by an earlier hook
    before_step   before the forward pass of each iteration
    after_step    after the optimiser's step, loop.iteration already counted
    after_epoch   when an epoch is full or the run ends within one
    end           once, also after an early stop
    state         what a checkpoint must hold, plain JSON values and tensors; and restore, its inverse
    """

    def start(self, loop: TrainingLoop) -> None:
        """Run once before the first step."""

    def before_step(self, loop: TrainingLoop) -> None:
        """Run before each forward pass."""

    def after_step(self, loop: TrainingLoop) -> None:
        """Run after each optimiser step."""

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Run at the end of each epoch."""

    def end(self, loop: TrainingLoop) -> None:
        """Run once after the last step."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold of this hook."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what state() gave."""


@dataclass(frozen=True)
class RunLength:
    """How long a run is: a number of epochs, or seconds of wall clock. Exactly one is set.

    An epoch is iterations_per_epoch iterations; under a budget it ends after a twentieth of the budget if that is
    sooner, so that even a short run has its validations, but never before ten seconds: what happens between epochs
    (validation, checkpoint, picture) is to stay under a twentieth of the time.
    """

    iterations_per_epoch: int
    epochs: int | None = None
    budget_seconds: float | None = None
    budget_epochs: int = 20

    def progress(self, iteration: int, seconds: float) -> float:
        """The share of the run that is done, from 0 to 1."""
        if self.epochs is not None:
            return min(1.0, iteration / (self.epochs * self.iterations_per_epoch))
        assert self.budget_seconds is not None
        return min(1.0, seconds / self.budget_seconds)

    def epoch_is_full(self, iterations: int, seconds: float) -> bool:
        """Whether an epoch with this many iterations and seconds is over."""
        if self.budget_seconds is None:
            return iterations >= self.iterations_per_epoch
        is_long = iterations >= self.iterations_per_epoch or seconds >= self.budget_seconds / self.budget_epochs
        return is_long and seconds >= LEAST_EPOCH_SECONDS


@dataclass
class EpochRecord:
    """What happened in the running epoch; hooks add to it, and it is written when the epoch ends."""

    epoch: int
    started_seconds: float
    iterations: int = 0
    loss_sum: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def mean_loss(self) -> float:
        """The mean training loss of the epoch."""
        return self.loss_sum / max(1, self.iterations)


@dataclass(frozen=True)
class Computation:
    """Where and how a step is computed.

    device: a torch device. autocast: makes the context of the forward pass. scaler: for fp16 on CUDA. clip_norm: of the
    gradient over all parameters. memory_format: of images. compiled: have torch compile the network.
    """

    device: str
    autocast: Callable[[], AbstractContextManager[Any]]
    clip_norm: float
    scaler: torch.amp.GradScaler | None = None
    memory_format: torch.memory_format = torch.contiguous_format
    compiled: bool = False

    def forward_of(self, network: nn.Module) -> Callable[[torch.Tensor], Any]:
        """How a network is called."""
        return CompiledNetwork(network) if self.compiled else network

    def move(self, image: torch.Tensor) -> torch.Tensor:
        """An image batch on the device, in the memory format."""
        return image.to(self.device, non_blocking=True).contiguous(memory_format=self.memory_format)


class TrainingLoop:
    """Runs steps until the length is reached or a hook sets stop.

    batches: yields (image, target) where both have .to(device); the first one belongs to loop.iteration, so that a
    restored run asks for the batches from there on (batches is called with the iteration to start at). seconds counts
    the wall clock of all sittings, without the time between them.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[..., torch.Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        batches: Callable[[int], Iterator[Any]],
        length: RunLength,
        computation: Computation,
        hooks: Sequence[Hook],
    ) -> None:
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.batches, self.length, self.computation, self.hooks = batches, length, computation, hooks
        self._forward = computation.forward_of(network)
        self.iteration = 0
        self.record = EpochRecord(0, 0.0)
        self.stop = False
        self.last_loss = float("nan")
        self._bad_steps = 0
        self._earlier_seconds = 0.0
        self._sitting_started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall clock spent on this run so far, over all sittings."""
        return self._earlier_seconds + time.monotonic() - self._sitting_started

    @property
    def position(self) -> Position:
        """Where the run stands, for the schedule."""
        per_epoch = self.length.iterations_per_epoch
        return Position(self.progress, self.iteration, self.record.epoch + min(1.0, self.record.iterations / per_epoch))

    @property
    def progress(self) -> float:
        """The share of the run that is done, from 0 to 1."""
        return self.length.progress(self.iteration, self.seconds)

    def continue_from(self, *, iteration: int, epoch: int, seconds: float) -> None:
        """Take up a run at the start of an epoch."""
        self.iteration, self._earlier_seconds = iteration, seconds
        self._sitting_started = time.monotonic()
        self.record = EpochRecord(epoch, seconds)

    def run(self) -> None:
        """Train to the end."""
        self._sitting_started = time.monotonic()
        for hook in self.hooks:
            hook.start(self)
        batches = self.batches(self.iteration)
        while not self.stop and self.progress < 1.0:
            self._step(next(batches))
            if self.length.epoch_is_full(self.record.iterations, self.seconds - self.record.started_seconds):
                self._finish_epoch()
        if self.record.iterations:
            self._finish_epoch()
        for hook in self.hooks:
            hook.end(self)

    def _step(self, batch: Any) -> None:
        for hook in self.hooks:
            hook.before_step(self)
        computation = self.computation
        image, target = computation.move(batch.image), batch.target.to(computation.device)
        with computation.autocast():
            outputs = self._forward(image)
        loss = self.loss(outputs, target)
        self.optimizer.zero_grad(set_to_none=True)
        self._descend(loss)
        self.last_loss = float(loss.detach())
        self.iteration += 1
        self.record.iterations += 1
        self.record.loss_sum += self.last_loss if math.isfinite(self.last_loss) else 0.0
        for hook in self.hooks:
            hook.after_step(self)

    def _descend(self, loss: torch.Tensor) -> None:
        """Step down the gradient; a step whose gradient is not finite is left out, many in a row end the run."""
        parameters, scaler = list(self.network.parameters()), self.computation.scaler
        if scaler is None:
            loss.backward()
        else:
            scaler.scale(loss).backward()
            scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(parameters, self.computation.clip_norm)
        self._bad_steps = 0 if torch.isfinite(norm) else self._bad_steps + 1
        if self._bad_steps >= MAX_BAD_STEPS:
            raise ResourceError(
                f"Training diverged: {MAX_BAD_STEPS} iterations up to {self.iteration} had no finite gradient.",
                "Lower --lr, or train with --precision fp32; the last checkpoint is kept.",
            )
        if scaler is not None:
            scaler.step(self.optimizer)
            scaler.update()
        elif self._bad_steps == 0:
            self.optimizer.step()

    def _finish_epoch(self) -> None:
        for hook in self.hooks:
            hook.after_epoch(self)
        self.record = EpochRecord(self.record.epoch + 1, self.seconds)
