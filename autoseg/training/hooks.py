"""Hooks that steer a run: learning rate, averaged weights, validation, early stopping."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from autoseg.training.loop import Hook, TrainingLoop
from autoseg.training.schedules import USUAL_CYCLES, Cycles, learning_rate_factor

# A young average forgets faster, so that the first steps do not linger in it.
AVERAGE_HEAD_START = 10
VALIDATION_MEMORY = 0.9


class LearningRate(Hook):
    """Sets the learning rate before each step, by the schedule."""

    def __init__(
        self, schedule: str, peak: float, *, warmup_iterations: int = 0, cycles: Cycles = USUAL_CYCLES
    ) -> None:
        self.schedule, self.peak = schedule, peak
        self.warmup_iterations, self.cycles = warmup_iterations, cycles

    def before_step(self, loop: TrainingLoop) -> None:
        """Set the rate of every parameter group."""
        factor = learning_rate_factor(
            self.schedule, loop.position, warmup_iterations=self.warmup_iterations, cycles=self.cycles
        )
        for group in loop.optimizer.param_groups:
            group["lr"] = self.peak * factor

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Note the rate."""
        loop.record.values["learning_rate"] = loop.optimizer.param_groups[0]["lr"]


class WeightAverage(Hook):
    """Keeps an exponential moving average of the weights: w' = d w' + (1 - d) w with d = min(decay, (1+n)/(10+n)).

    network: the averaged network; with decay 0 it is the trained one itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network) if decay else network

    def after_step(self, loop: TrainingLoop) -> None:
        """Take the new weights into the average."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + loop.iteration) / (AVERAGE_HEAD_START + loop.iteration))
        with torch.no_grad():
            averaged: list[torch.Tensor] = list(self.network.parameters())
            current: list[torch.Tensor] = list(loop.network.parameters())
            torch._foreach_lerp_(averaged, current, 1 - decay)

    def state(self) -> dict[str, Any]:
        """The averaged weights."""
        return {"network": dict(self.network.state_dict())} if self.decay else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the averaged weights back."""
        if self.decay:
            self.network.load_state_dict(state["network"])


class Validation(Hook):
    """Scores patches of the validation cases at the end of each epoch, and smooths the score over epochs.

    score: takes a network, returns the Dice of each class on patches (NaN where a class was neither there nor found).
    smoothed: .9 of the last value and .1 of the new one, as nnU-Net does.
    """

    def __init__(self, score: Callable[[nn.Module], dict[str, float]], average: WeightAverage) -> None:
        self.score, self.average = score, average
        self.smoothed: float | None = None
        self.best: float = -math.inf
        self.improved = False

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Score the averaged network."""
        dice = self.score(self.average.network)
        known = [value for value in dice.values() if not math.isnan(value)]
        mean = sum(known) / len(known) if known else 0.0
        first = self.smoothed is None
        self.smoothed = mean if first else VALIDATION_MEMORY * self.smoothed + (1 - VALIDATION_MEMORY) * mean  # type: ignore[operator]
        self.improved = self.smoothed > self.best
        self.best = max(self.best, self.smoothed)
        loop.record.values["validation_dice"] = {
            name: None if math.isnan(value) else round(value, 4) for name, value in dice.items()
        }
        loop.record.values["mean_validation_dice"] = round(mean, 4)
        loop.record.values["smoothed_validation_dice"] = round(self.smoothed, 4)

    def state(self) -> dict[str, Any]:
        """The smoothed and the best score."""
        return {"smoothed": self.smoothed, "best": self.best if math.isfinite(self.best) else None}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the scores back."""
        self.smoothed = state["smoothed"]
        self.best = -math.inf if state["best"] is None else state["best"]


class WholeVolumeValidation(Hook):
    """Scores the validation cases whole after each so many epochs; the score is noted and steers nothing.

    score: takes a network, returns the mean Dice of each class over whole cases (None where it has none).
    """

    def __init__(
        self, score: Callable[[nn.Module], dict[str, float | None]], average: WeightAverage, every_epochs: int
    ) -> None:
        self.score, self.average, self.every_epochs = score, average, every_epochs

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Score the averaged network, if its turn has come."""
        if (loop.record.epoch + 1) % self.every_epochs:
            return
        dice = self.score(self.average.network)
        known = [value for value in dice.values() if value is not None]
        loop.record.values["whole_validation_dice"] = {
            name: None if value is None else round(value, 4) for name, value in dice.items()
        }
        loop.record.values["mean_whole_validation_dice"] = round(sum(known) / len(known), 4) if known else None


class EarlyStopping(Hook):
    """Stops when the smoothed validation Dice has not risen for `patience` epochs; keeps the best averaged weights."""

    def __init__(self, validation: Validation, patience: int) -> None:
        self.validation, self.patience = validation, patience
        self.epochs_without = 0
        self.best_weights: dict[str, torch.Tensor] = {}

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Count, remember the best, and stop."""
        if self.validation.improved or not self.best_weights:
            self.epochs_without = 0
            state = self.validation.average.network.state_dict()
            self.best_weights = {name: tensor.detach().clone() for name, tensor in state.items()}
        else:
            self.epochs_without += 1
        loop.stop = loop.stop or self.epochs_without >= self.patience

    def end(self, loop: TrainingLoop) -> None:
        """Put the best weights into the network that becomes the model."""
        if self.best_weights:
            self.validation.average.network.load_state_dict(self.best_weights)

    def state(self) -> dict[str, Any]:
        """The count and the best weights."""
        return {"epochs_without": self.epochs_without, "best_weights": self.best_weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Take both back."""
        self.epochs_without, self.best_weights = state["epochs_without"], state["best_weights"]
