"""Weights on a few uniform levels: trained on with the rounded weights, the gradient going to the full ones.

w_q is the level nearest to w among k in [-r, r]; the gradient with respect to w is taken to be that with respect to
w_q: the straight-through estimator (Bengio et al. 2013, arXiv:1308.3432). Biases and normalisations stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.compression.weights import CONVOLUTION_KINDS
from autoseg.errors import OptionError
from autoseg.networks.blocks import TRANSPOSED
from autoseg.networks.levels import MOST_LEVELS, Grid

TRIED_RANGES = np.linspace(0.05, 1.0, 39, dtype=np.float32)
"""Of the largest magnitude, when a range per channel is looked for."""


@dataclass(frozen=True)
class QuantizationOptions:
    """levels: how many, at least 2. range: of all weights, such as 0.45; None for the best one per output channel."""

    levels: int = 31
    range: float | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no levels."""
        if not 2 <= self.levels <= MOST_LEVELS:
            raise OptionError(f"Levels must be 2 to {MOST_LEVELS}, not {self.levels}.", "31 is usual.")
        if self.range is not None and not self.range > 0:
            raise OptionError(f"The range of levels must be positive, not {self.range}.")


class Rounded(nn.Module):
    """A convolution that computes with the level nearest to each of its weights.

    layer: the convolution with its full weights, which the optimiser moves. grid: the levels. kept: where a weight is
    not zero: the others stay so. Ranges and kept are buffers, so that checkpoints hold them. maps: what is done to
    the maps that enter, where they are rounded too (rounded_maps.py).
    """

    ranges: Tensor
    kept: Tensor
    maps: nn.Module | None

    def __init__(self, layer: nn.Module, grid: Grid) -> None:
        super().__init__()
        weight: Any = layer.weight
        self.layer = layer
        self.levels, self.channel_axis = grid.levels, grid.channel_axis
        self.register_buffer("ranges", torch.from_numpy(grid.ranges.copy()).to(weight.device))
        self.register_buffer("kept", weight.detach() != 0)
        self.maps = None

    @property
    def grid(self) -> Grid:
        """The levels as storage wants them."""
        return Grid(self.levels, self.ranges.cpu().numpy(), self.channel_axis)

    @property
    def weight(self) -> Tensor:
        """The rounded weights: the very float32 numbers that Grid.rounded gives; their gradient is the full ones'."""
        full: Any = self.layer.weight
        shape = [1] * full.ndim
        shape[self.channel_axis] = -1
        ranges, steps = self.ranges.view(shape), self.levels - 1
        scaled = torch.where(ranges > 0, full.detach() / ranges, torch.zeros_like(full))
        numbers = torch.floor((scaled.double() + 1) * (steps / 2) + 0.5).clamp(0, steps)
        rounded = ranges * ((2 * numbers - steps).float() / steps)
        return (rounded + (full - full.detach())).masked_fill(~self.kept, 0)

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution."""
        if self.maps is not None:
            x = self.maps(x)
        return torch.func.functional_call(self.layer, {"weight": self.weight}, (x,))


def quantize(network: nn.Module, options: QuantizationOptions, known: Mapping[str, Grid] | None = None) -> None:
    """Make a network compute with rounded weights from now on, in place; bake() makes that final.

    Weights that are zero stay zero: what threshold pruning removed stays removed. known: by name of the weight, levels
    that are taken in place of those of the options. The optimiser is to be made afterwards, of network.parameters().
    """
    for path, parent in list(network.named_modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CONVOLUTION_KINDS) and not isinstance(parent, Rounded):
                grid = (known or {}).get(_weight_name(path, name)) or grid_of(child, options)
                setattr(parent, name, Rounded(child, grid))


def _weight_name(path: str, child: str) -> str:
    return ".".join(filter(None, (path, child, "weight")))


def grid_of(module: Any, options: QuantizationOptions) -> Grid:
    """The levels of a convolution: within the range that was asked for, or the best one of each output channel."""
    axis = 1 if isinstance(module, tuple(TRANSPOSED.values())) else 0
    if options.range is not None:
        return Grid(options.levels, np.array([options.range], np.float32), axis)
    return Grid(options.levels, best_ranges(module.weight.detach().cpu().numpy(), options.levels, axis), axis)


def best_ranges(weight: np.ndarray, levels: int, channel_axis: int) -> np.ndarray:
    """Per channel the range whose levels lie nearest to the weights, by the sum of squares; zeros do not count.

    weight: float32. Returns (channels,) float32; of the shares TRIED_RANGES of the largest magnitude the best one.
    """
    rows = np.moveaxis(weight, channel_axis, 0).reshape(weight.shape[channel_axis], -1)
    largest = np.abs(rows).max(axis=1)
    best, least = largest.copy(), np.full(len(rows), np.inf)
    for share in TRIED_RANGES:
        ranges = largest * share
        error = np.square(np.where(rows == 0, 0, Grid(levels, ranges).rounded(rows) - rows)).sum(axis=1)
        better = error < least
        best[better], least[better] = ranges[better], error[better]
    return best


def bake(network: nn.Module) -> dict[str, Grid]:
    """Put the rounded weights in place of the full ones, in place. Returns the levels by name of the weight.

    The network then has the structure that it had before quantize(). One that does not round is left as it is.
    """
    grids = {}
    for path, parent in list(network.named_modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Rounded):
                layer: Any = child.layer
                with torch.no_grad():
                    layer.weight.copy_(child.weight)
                setattr(parent, name, layer)
                grids[_weight_name(path, name)] = child.grid
    return grids
