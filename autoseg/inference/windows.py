"""Where windows lie in a volume, how much each of them weighs, and in which order they run.

The weight of a voxel in a window is exp(-d² / 2σ²) per axis with σ = patch / 8, 1 in the middle and e⁻⁸ = 3.4e-4 at the
rim: never zero, and in float32 the product of three rims is still exact enough. Weights are a product over the axes and
so are their sums, so each axis is normalised on its own: blending is a weighted mean without a volume of weight sums.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoseg.errors import OptionError
from autoseg.inference.arrays import Array, moved
from autoseg.preprocessing.restore import Order

Ints = tuple[int, ...]
SIGMA = 1 / 8
"""Of the Gaussian weights, as a fraction of the patch."""
Box3 = tuple[slice, ...]
WORTH_ANOTHER_AXIS = 0.75
"""Another axis than the first is gone along only where it leaves less than this of the open planes."""


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
    return np.exp(-0.5 * (distance / (patch * SIGMA)) ** 2)


def stream_order(shape: Sequence[int], windows: Windows) -> Order:
    """The order of axes that leaves the fewest planes open; the axes' own where another gains little.

    shape: (z, y, x) of the image.
    """
    shares = [min(1.0, patch / length) for patch, length in zip(windows.box, shape, strict=True)]
    first = min(range(3), key=lambda axis: shares[axis])
    if shares[first] >= WORTH_ANOTHER_AXIS * shares[0]:
        first = 0
    second, third = (axis for axis in range(3) if axis != first)
    return first, second, third


@dataclass(frozen=True)
class WindowAxis:
    """The windows along one axis. weights: per window, normalised so that they sum to 1 on every voxel."""

    length: int
    starts: list[int]
    patch: int
    weights: list[Array | None]

    @classmethod
    def along(cls, length: int, patch: int, overlap: float) -> WindowAxis:
        """The windows that cover an axis of at least the patch's length."""
        starts = window_starts(length, patch, overlap)
        total, plain = np.zeros(length), gaussian_weights(patch)
        for start in starts:
            total[start : start + patch] += plain
        if all(b - a >= patch for a, b in itertools.pairwise(starts)):
            return cls(length, starts, patch, [None] * len(starts))
        return cls(length, starts, patch, [(plain / total[s : s + patch]).astype(np.float32) for s in starts])


@dataclass(frozen=True)
class WindowPath:
    """All windows, one after the other along the first of the axes.

    axes: in the order in which the windows run; order[a] is the image's axis (0 z, 1 y, 2 x) that axes[a] is of. A
    window is known by its numbers along the axes, a box by its ranges along them.
    """

    axes: tuple[WindowAxis, ...]
    order: Order
    batch_size: int

    @classmethod
    def over(cls, shape: Sequence[int], windows: Windows, order: Order) -> WindowPath:
        """The windows that cover an image (z, y, x), padded where it is smaller than the patch."""
        lengths = [max(length, patch) for length, patch in zip(shape, windows.box, strict=True)]
        axes = [WindowAxis.along(lengths[axis], windows.box[axis], windows.overlap) for axis in order]
        return cls(tuple(axes), order, windows.batch_size)

    def __len__(self) -> int:
        return len(self.axes[0].starts) * self.per_row

    def on(self, device: str) -> WindowPath:
        """The same, with its weights where a device adds windows."""
        return replace(self, axes=tuple(replace(axis, weights=moved(axis.weights, device)) for axis in self.axes))

    @property
    def per_row(self) -> int:
        """Windows at one position along the first axis."""
        return math.prod(len(axis.starts) for axis in self.axes[1:])

    @property
    def rows_at_once(self) -> int:
        """How many positions further along the first axis a batch may reach."""
        return math.ceil((self.batch_size - 1) / self.per_row)

    def depth(self, most_planes: int) -> int:
        """Planes that are open at once at most, where those are kept that a restorer of so many planes waits for."""
        first = self.axes[0]
        last = [*first.starts[self.rows_at_once :], *[first.starts[-1]] * self.rows_at_once]
        touched = max(b - a for a, b in zip(first.starts, last, strict=False)) + first.patch
        return min(first.length, touched + most_planes - 1)

    def first_plane(self, number: int) -> int:
        """The first plane that the window of this number touches; the length of the axis after the last window."""
        first = self.axes[0]
        return first.starts[number // self.per_row] if number < len(self) else first.length

    def batches(self, is_empty: Callable[[Box3], bool]) -> Iterator[tuple[list[Ints], list[Ints]]]:
        """The windows to run and those to leave out, batch by batch; together they follow the path without a gap.

        is_empty: of the box (z, y, x) of a window, whether it is left out.
        """
        batch: list[Ints] = []
        skipped: list[Ints] = []
        row = 0
        for at in itertools.product(*(range(len(axis.starts)) for axis in self.axes)):
            if len(batch) == self.batch_size or at[0] > row + self.rows_at_once:
                yield batch, skipped
                batch, skipped, row = [], [], at[0]
            (skipped if is_empty(self.where(at)) else batch).append(at)
        yield batch, skipped

    def place(self, at: Ints) -> Box3:
        """The box of a window along the axes of the path."""
        starts = (axis.starts[i] for axis, i in zip(self.axes, at, strict=True))
        return tuple(slice(start, start + axis.patch) for start, axis in zip(starts, self.axes, strict=True))

    def where(self, at: Ints) -> Box3:
        """The box (z, y, x) of a window."""
        place = self.place(at)
        return tuple(place[self.order.index(axis)] for axis in range(3))

    def weights(self, at: Ints) -> Array | None:
        """The weights of a window, broadcastable to its box along the path; None where no windows overlap."""
        product: Array | None = None
        for number, (axis, i) in enumerate(zip(self.axes, at, strict=True)):
            weight = axis.weights[i]
            if weight is not None:
                shaped = weight.reshape([-1 if a == number else 1 for a in range(3)])
                product = shaped if product is None else product * shaped
        return product
