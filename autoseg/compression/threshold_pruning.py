"""Threshold pruning: small weights become zero and stay zero while the others are trained on.

After Han et al. 2015 (arXiv:1506.02626).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.compression.weights import convolution_weights, sparsity
from autoseg.errors import OptionError
from autoseg.training.hooks import WeightAverage
from autoseg.training.loop import Hook, TrainingLoop
from autoseg.training.masks import Masks


@dataclass(frozen=True)
class ThresholdOptions:
    """How the threshold rises: start, start + step, ... up to end, while a network is trained on.

    relative: thresholds are multiples of the standard deviation of each layer's weights, measured before the first;
    absolute ones suit the network that they were found for and no other. settling: the share of the run that belongs to
    the last threshold; the others share the rest evenly. least_kept: the share of a layer's weights, the largest, that
    no threshold takes: a layer without weights would cut the network.
    """

    start: float = 0.1
    step: float = 0.05
    end: float = 0.4
    relative: bool = False
    settling: float = 0.25
    least_kept: float = 0.01

    def __post_init__(self) -> None:
        """Refuse thresholds that do not rise, and shares outside 0 to 1."""
        if not (0 < self.start <= self.end and self.step > 0):
            raise OptionError(
                f"Thresholds must rise from above 0, not from {self.start} by {self.step} to {self.end}.",
                "Give for example 0.1 to 0.4 by 0.05.",
            )
        if not (0 < self.settling <= 1 and 0 <= self.least_kept <= 1):
            raise OptionError(f"Shares lie between 0 and 1, not {self.settling} and {self.least_kept}.")

    @property
    def thresholds(self) -> tuple[float, ...]:
        """All of them, in order; the last one is the end."""
        count = math.ceil((self.end - self.start) / self.step - 1e-6)
        return (*(round(self.start + number * self.step, 6) for number in range(count)), self.end)

    def threshold(self, progress: float) -> float:
        """The one that holds at a point of the run. progress: 0 to 1."""
        values = self.thresholds
        rising = 1 - self.settling
        number = int(progress / rising * (len(values) - 1)) if rising else len(values) - 1
        return values[min(number, len(values) - 1)]


def kept_weights(weight: Tensor, threshold: float, *, least_kept: float = 0.0) -> Tensor:
    """Where |w| >= threshold, as a mask of the weight's shape.

    At least the share least_kept of the weights, and never fewer than one, is kept: those with the largest magnitudes.
    """
    magnitudes = weight.detach().abs()
    count = min(weight.numel(), max(1, math.ceil(least_kept * weight.numel())))
    lowest_kept = magnitudes.flatten().topk(count).values[-1]
    return (magnitudes >= torch.clamp(lowest_kept, max=threshold)) & (magnitudes > 0)


def spreads(weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The standard deviation of each layer's weights, zeros left out: they may have been pruned before."""
    found = {}
    for name, weight in weights.items():
        values = weight.detach()[weight.detach() != 0]
        found[name] = float(values.std(correction=0)) if len(values) else 0.0
    return found


def masks_of(network: nn.Module) -> Masks:
    """Masks for all convolutions of a network, which keep what is not zero already."""
    return Masks({name: weight.detach() != 0 for name, weight in convolution_weights(network).items()})


class ThresholdPruning(Hook):
    """Raises the threshold while a network is trained, and masks what falls below it.

    masks: as masks_of() gives them, a hook that stands after this one and before that of the averaged weights.
    """

    def __init__(self, options: ThresholdOptions, masks: Masks, average: WeightAverage) -> None:
        self.options, self.masks, self.average = options, masks, average
        self.threshold = 0.0
        self.scales: dict[str, float] = {}

    def before_step(self, loop: TrainingLoop) -> None:
        """Mask anew where the threshold has risen."""
        threshold = self.options.threshold(loop.progress)
        if threshold <= self.threshold:
            return
        weights = convolution_weights(loop.network)
        if not self.scales:
            self.scales = spreads(weights) if self.options.relative else dict.fromkeys(weights, 1.0)
        self.threshold = threshold
        for name, weight in weights.items():
            kept = kept_weights(weight, threshold * self.scales[name], least_kept=self.options.least_kept)
            self.masks.masks[name].logical_and_(kept.to(self.masks.masks[name].device))
            for value in loop.optimizer.state.get(weight, {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    value.masked_fill_(~kept, 0)
        self.apply(loop.network)
        self.apply(self.average.network)

    @torch.no_grad()
    def apply(self, network: nn.Module) -> None:
        """Set the masked weights of a network to zero; of the one that is kept in the end too, whichever it is."""
        for name, weight in convolution_weights(network).items():
            weight.masked_fill_(~self.masks.masks[name].to(weight.device), 0)

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Note the threshold and what it has come to."""
        loop.record.values["threshold"] = self.threshold
        loop.record.values["sparsity"] = round(sparsity(loop.network), 4)

    def state(self) -> dict[str, Any]:
        """The threshold and the layers' scales; the masks keep themselves."""
        return {"threshold": self.threshold, "scales": self.scales}

    def restore(self, state: dict[str, Any]) -> None:
        """Take both back."""
        self.threshold, self.scales = state["threshold"], dict(state["scales"])
