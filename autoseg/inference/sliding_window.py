"""Running a network over a volume larger than its patch, window by window, blended by Gaussian weights.

The weight of a voxel in a window is exp(-d² / 2σ²) per axis with σ = patch / 8, 1 in the middle and e⁻⁸ = 3.4e-4 at the
rim: never zero, and in float32 the product of three rims is still exact enough. Weights are a product over the axes and
so are their sums, so each axis is normalised on its own: blending is a weighted mean without a volume of weight sums.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.errors import OptionError

Ints = tuple[int, ...]
Network = Callable[[Tensor], Tensor]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Windows:
    """How a volume is cut.

    patch_size: (z, y, x) voxels; (y, x) for a network that sees single slices along axis 0. overlap: the fraction of a
    patch that neighbours share at least, 0 to below 1. batch_size: windows per call of the network.
    """

    patch_size: Ints
    overlap: float = 0.5
    batch_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise OptionError(f"The overlap must be at least 0 and below 1, not {self.overlap}.", "0.5 is usual.")
        if self.batch_size < 1:
            raise OptionError(f"A batch needs at least one window, not {self.batch_size}.")

    @property
    def is_2d(self) -> bool:
        """Whether windows are slices."""
        return len(self.patch_size) == 2

    @property
    def box(self) -> Ints:
        """The patch as a (z, y, x) box."""
        return (1, *self.patch_size) if self.is_2d else self.patch_size


def window_starts(length: int, patch: int, overlap: float) -> list[int]:
    """First indices of the windows along one axis: the fewest that cover it, evenly spread.

    Neighbours lie at most patch * (1 - overlap) apart, give or take rounding to whole voxels. An axis no longer than
    the patch has one window, at 0.
    """
    if length <= patch:
        return [0]
    step = max(1.0, patch * (1 - overlap))
    count = math.ceil((length - patch) / step) + 1
    return [int(start) for start in np.round(np.linspace(0, length - patch, count))]


def gaussian_weights(patch: int) -> np.ndarray:
    """(patch,) float64 weights along one axis, symmetric, 1 at the centre and at least e⁻⁸ at the rim."""
    distance = np.arange(patch) - (patch - 1) / 2
    return np.exp(-0.5 * (distance / (patch / 8)) ** 2)


def slide(
    image: np.ndarray,
    network: Network,
    windows: Windows,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> np.ndarray:
    """Predict a whole volume.

    image: (C, Z, Y, X) float32; axes shorter than the patch are padded with 0 on both sides, one more at the end where
    the number is odd, as in training. network: (B, C, *patch) on `device` to logits (B, K, *patch). progress: called
    with the number of windows done and of all. Returns (K, Z, Y, X) float32.
    """
    padded, inside = _pad(image, windows.box)
    axes = [_Axis.along(n, p, windows.overlap) for n, p in zip(padded.shape[1:], windows.box, strict=True)]
    positions = list(itertools.product(*(range(len(axis.starts)) for axis in axes)))
    result: Tensor | None = None
    for first in range(0, len(positions), windows.batch_size):
        chosen = positions[first : first + windows.batch_size]
        logits = _run(network, [padded[_where(axes, at)] for at in chosen], device, windows.is_2d)
        if len(positions) == 1:
            result = logits[0]
        else:
            result = _zeros((logits.shape[1], *padded.shape[1:]), device) if result is None else result
            for at, window in zip(chosen, logits.to(result.device), strict=True):
                _blend(result[_where(axes, at)], window, [axis.weights[i] for axis, i in zip(axes, at, strict=True)])
        if progress is not None:
            progress(first + len(chosen), len(positions))
    assert result is not None
    return result[(slice(None), *inside)].float().contiguous().cpu().numpy()


def memory_bytes(shape: Sequence[int], windows: Windows, *, channels: int, outputs: int) -> int:
    """What slide() holds besides the network's activations, for an image (channels, *shape) and `outputs` logits."""
    padded = math.prod(max(n, p) for n, p in zip(shape, windows.box, strict=True))
    return 4 * (padded * (channels + outputs) + math.prod(windows.box) * windows.batch_size * (channels + 2 * outputs))


@dataclass(frozen=True)
class _Axis:
    """The windows along one axis. weights: per window, normalised so that they sum to 1 on every voxel."""

    starts: list[int]
    patch: int
    weights: list[Tensor | None]

    @classmethod
    def along(cls, length: int, patch: int, overlap: float) -> _Axis:
        starts = window_starts(length, patch, overlap)
        total, plain = np.zeros(length), gaussian_weights(patch)
        for start in starts:
            total[start : start + patch] += plain
        if all(b - a >= patch for a, b in itertools.pairwise(starts)):
            return cls(starts, patch, [None] * len(starts))
        return cls(starts, patch, [torch.from_numpy(plain / total[s : s + patch]).float() for s in starts])


def _where(axes: list[_Axis], at: Ints) -> tuple[slice, ...]:
    boxes = (slice(axis.starts[i], axis.starts[i] + axis.patch) for axis, i in zip(axes, at, strict=True))
    return (slice(None), *boxes)


def _pad(image: np.ndarray, box: Ints) -> tuple[Tensor, tuple[slice, ...]]:
    """The image as a tensor at least as large as the box, and where the image lies in it."""
    missing = [max(p - n, 0) for n, p in zip(image.shape[1:], box, strict=True)]
    inside = tuple(slice(m // 2, m // 2 + n) for m, n in zip(missing, image.shape[1:], strict=True))
    padded = torch.zeros((image.shape[0], *(n + m for n, m in zip(image.shape[1:], missing, strict=True))))
    padded.numpy()[(slice(None), *inside)] = image
    return padded, inside


def _run(network: Network, windows: list[Tensor], device: str, is_2d: bool) -> Tensor:
    batch = torch.stack(windows).to(device)
    return network(batch.squeeze(2)).unsqueeze(2) if is_2d else network(batch)


def _zeros(shape: Ints, device: str) -> Tensor:
    """Where logits are summed: on the device, or in main memory where it is too small."""
    try:
        return torch.zeros(shape, device=device)
    except torch.OutOfMemoryError:
        return torch.zeros(shape)


def _blend(target: Tensor, window: Tensor, weights: list[Tensor | None]) -> None:
    """Add a window (K, z, y, x) times its weights to its place; where no windows overlap there is nothing to weigh."""
    factors = list(_shaped(weights, target.device))
    if not factors:
        target.copy_(window)
        return
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    target.addcmul_(window.float(), product)


def _shaped(weights: list[Tensor | None], device: torch.device) -> Iterator[Tensor]:
    for axis, weight in enumerate(weights):
        if weight is not None:
            yield weight.to(device).reshape([-1 if a == axis else 1 for a in range(3)])
