"""Threshold pruning: small weights become zero and stay zero while the others are trained on.

After Han et al. 2015 (arXiv:1506.02626). Which weights those are is decided here; autoseg.training.masks keeps them so.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autoseg.compression.weights import convolution_weights

LEAST_KEPT = 0.01
"""The share of a layer's weights, the largest, that no threshold takes: without any the layer would cut the network."""


def thresholds(start: float, step: float, end: float) -> tuple[float, ...]:
    """start, start + step, ... up to end, which is the last one."""
    count = math.ceil((end - start) / step - 1e-6)
    return (*(round(start + number * step, 6) for number in range(count)), end)


def threshold_masks(network: nn.Module, threshold: float, *, relative: bool) -> dict[str, Tensor]:
    """Which weights of every convolution are kept, by name, True where |w| >= threshold.

    What is zero already stays so. relative: the threshold is a multiple of the standard deviation of each layer's
    weights, zeros among them: an absolute one suits the network that it was found for and no other.
    """
    found = {}
    for name, weight in convolution_weights(network).items():
        values = weight.detach()
        found[name] = kept_weights(values, threshold * (spread(values) if relative else 1.0), least_kept=LEAST_KEPT)
    return found


def spread(weight: Tensor) -> float:
    """The standard deviation of all weights of a layer; 0 for a single one."""
    return float(weight.std(correction=0))


def kept_weights(weight: Tensor, threshold: float, *, least_kept: float = 0.0) -> Tensor:
    """Where |w| >= threshold, as a mask of the weight's shape; never where it is zero.

    At least the share least_kept of the weights, and no fewer than one, is kept: those with the largest magnitudes.
    """
    magnitudes = weight.abs()
    count = min(weight.numel(), max(1, math.ceil(least_kept * weight.numel())))
    lowest_kept = magnitudes.flatten().topk(count).values[-1]
    return (magnitudes >= torch.clamp(lowest_kept, max=threshold)) & (magnitudes > 0)


@torch.no_grad()
def zero_masked(network: nn.Module, masks: dict[str, Tensor]) -> None:
    """Set the weights that are not kept to zero, in place."""
    for name, weight in convolution_weights(network).items():
        weight.masked_fill_(~masks[name].to(weight.device), 0)
