"""Weights that lie on a few uniform levels: which values those are, and which number each of them has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.errors import OptionError

MOST_LEVELS = 4096


@dataclass(frozen=True, eq=False)
class Grid:
    """Uniform levels from -range to range: level i of k is range * (2 i - (k - 1)) / (k - 1), in float32.

    levels: k, at least 2; an odd number has zero among them. ranges: (R,) float32, not negative: one for the whole
    tensor, or one per channel. channel_axis: of the tensor, where ranges are per channel.
    """

    levels: int
    ranges: np.ndarray
    channel_axis: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers of levels and ranges that make no grid."""
        if not 2 <= self.levels <= MOST_LEVELS:
            raise OptionError(f"There must be 2 to {MOST_LEVELS} levels, not {self.levels}.")
        if self.ranges.ndim != 1 or not np.isfinite(self.ranges).all() or (self.ranges < 0).any():
            raise OptionError("Ranges of levels must be finite and not negative.")

    @property
    def table(self) -> np.ndarray:
        """(k,) float32: the levels for a range of 1."""
        numerators = np.arange(-(self.levels - 1), self.levels, 2, dtype=np.float32)
        return numerators / np.float32(self.levels - 1)

    def aligned(self, ndim: int) -> np.ndarray:
        """The ranges, to be multiplied with a tensor of so many dimensions."""
        shape = [1] * ndim
        if len(self.ranges) > 1:
            shape[self.channel_axis] = len(self.ranges)
        return self.ranges.reshape(shape)

    def numbers(self, array: np.ndarray) -> np.ndarray:
        """The number of the level nearest to each value, uint16; the ends for values beyond the range.

        array: float32. A channel whose range is zero gets the middle.
        """
        ranges = self.aligned(array.ndim)
        scaled = np.divide(array, ranges, out=np.zeros_like(array, dtype=np.float64), where=ranges > 0)
        numbers = np.floor((scaled + 1) * ((self.levels - 1) / 2) + 0.5)
        return np.clip(numbers, 0, self.levels - 1).astype(np.uint16)

    def rounded(self, array: np.ndarray) -> np.ndarray:
        """The level nearest to each value, float32; the higher one in the middle between two."""
        return self.aligned(array.ndim) * self.table[self.numbers(array)]

    def codes(self, array: np.ndarray) -> np.ndarray | None:
        """The numbers of the levels that the values are, exactly; None where a value other than zero is none of them.

        A zero has whatever number; an even number of levels has none for it.
        """
        if not np.isfinite(array).all() or len(self.ranges) not in (1, array.shape[self.channel_axis]):
            return None
        numbers = self.numbers(array)
        on_grid = (self.aligned(array.ndim) * self.table[numbers] == array) | (array == 0)
        return numbers if on_grid.all() else None

    def values(self, numbers: np.ndarray, where: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Levels by their numbers, float32. where: of each, the index into the flat tensor of this shape."""
        ranges = self.ranges
        if len(ranges) > 1:
            ranges = ranges[np.unravel_index(where, shape)[self.channel_axis]]
        return ranges * self.table[numbers]
