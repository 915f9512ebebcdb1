"""Weights in fewer bytes, and back exactly: zeros left out, levels as their numbers, half precision where it suffices.

A packed tensor is one run of bytes: the ranges of its levels, where its values lie, and the values. The way that takes
the fewest bytes by the formula is taken; nothing is ever rounded here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from autoseg.errors import OptionError
from autoseg.networks.bits import join_bits, split_bits
from autoseg.networks.levels import Grid

POSITIONS = ("all", "mask", "gaps")
MOST_GAP_BITS = 12
SPARSE_ENOUGH = 0.6
"""The share of zeros from which gaps can be shorter than a mask: below it they are not tried."""


@dataclass(frozen=True)
class Layout:
    """How a tensor is packed.

    shape: of the tensor. stored: how many of its values are kept; the rest are zero. positions: all; mask, a bit per
    value; gaps, the zeros before each kept value in gap_bits bits, of which the largest number e says "e zeros and no
    value yet" (Han et al. 2016, arXiv:1510.00149); gap_entries: how many numbers that takes. value_bits: 32 or 16 for
    floats, else of the number of a level. levels: how many there are, 0 for floats. ranges: how many float32 ranges
    the levels have, one or one per channel along channel_axis.
    """

    shape: tuple[int, ...]
    stored: int
    positions: str = "all"
    gap_bits: int = 0
    gap_entries: int = 0
    value_bits: int = 32
    levels: int = 0
    ranges: int = 0
    channel_axis: int = 0

    def __post_init__(self) -> None:
        """Refuse what no tensor can be packed as."""
        numbers = (self.stored, self.gap_bits, self.gap_entries, self.value_bits, self.levels, self.ranges)
        if min((*numbers, self.channel_axis, *self.shape)) < 0 or self.stored > self.count:
            raise OptionError(f"A packed tensor cannot have the layout {self}.")
        if self.positions not in POSITIONS or (self.positions == "all") != (self.stored == self.count):
            raise OptionError(f"Of a tensor of {self.count} values {self.stored} cannot be at {self.positions!r}.")
        if (self.positions == "gaps") != (0 < self.gap_bits <= MOST_GAP_BITS):
            raise OptionError(f"Gaps cannot have {self.gap_bits} bits.")
        if self.levels:
            channels = self.shape[self.channel_axis] if self.channel_axis < len(self.shape) else 0
            is_right = self.levels > 1 and self.ranges in (1, channels) and self.value_bits == code_bits(self.choices)
        else:
            is_right = self.value_bits in (16, 32) and not self.ranges
        if not is_right:
            raise OptionError(f"Values cannot have {self.value_bits} bits, {self.levels} levels, {self.ranges} ranges.")

    @property
    def count(self) -> int:
        """Values of the tensor."""
        return math.prod(self.shape)

    @property
    def choices(self) -> int:
        """Levels that a stored value may have: of an odd number the one in the middle, zero, is not stored."""
        return self.levels - 1 if self.levels % 2 and self.positions != "all" else self.levels

    @property
    def range_bytes(self) -> int:
        """Of the ranges."""
        return 4 * self.ranges

    @property
    def position_bytes(self) -> int:
        """Of the mask or the gaps."""
        return {"all": 0, "mask": -(-self.count // 8), "gaps": -(-self.gap_entries * self.gap_bits // 8)}[
            self.positions
        ]

    @property
    def bytes(self) -> int:
        """4 ranges + ceil(positions / 8) + ceil(stored values * bits / 8): exactly what the packed tensor takes."""
        return self.range_bytes + self.position_bytes + -(-self.stored * self.value_bits // 8)


@dataclass(frozen=True, eq=False)
class Packed:
    """A tensor in few bytes. data: (layout.bytes,) uint8."""

    layout: Layout
    data: np.ndarray

    @property
    def grid(self) -> Grid | None:
        """The levels that its values lie on, None for floats. OptionError where the number of bytes is wrong."""
        layout = self.layout
        if len(self.data) != layout.bytes:
            raise OptionError(f"A packed tensor has {len(self.data)} bytes, its layout {layout.bytes}.")
        if not layout.levels:
            return None
        return Grid(layout.levels, self.data[: layout.range_bytes].copy().view("<f4"), layout.channel_axis)


def code_bits(choices: int) -> int:
    """Bits that number this many choices: 31 take 5, 2 take one; a single one takes none."""
    return max(0, choices - 1).bit_length()


def pack(array: np.ndarray, grid: Grid | None = None) -> Packed:
    """The smallest way to keep an array exactly.

    array: float32 of any shape. grid: of the levels that its non-zero values lie on; where they do not, it is ignored.
    """
    flat = np.ascontiguousarray(array, dtype=np.float32).reshape(-1)
    kept = np.flatnonzero(flat)
    codes = None if grid is None else grid.codes(array)
    layouts = [
        layout
        for places in _positions(array.shape, kept)
        for layout in _valued(places, flat[kept], grid, codes, has_zeros=len(kept) < len(flat))
    ]
    layout = min(layouts, key=lambda one: one.bytes)
    where = np.arange(len(flat)) if layout.positions == "all" else kept
    parts = [_range_bytes(layout, grid), _pack_positions(layout, kept), _pack_values(layout, flat, codes, where)]
    return Packed(layout, np.concatenate(parts))


def unpack(packed: Packed) -> np.ndarray:
    """The array that pack() was given, float32. OptionError where the bytes are not what their layout says."""
    layout, data = packed.layout, packed.data
    grid = packed.grid
    values_at = layout.range_bytes + layout.position_bytes
    where = _unpack_positions(layout, data[layout.range_bytes : values_at])
    values = data[values_at:]
    flat = np.zeros(layout.count, dtype=np.float32)
    if grid is not None:
        codes = split_bits(values, layout.value_bits, layout.stored)
        if len(codes) and codes.max() >= layout.choices:
            raise OptionError(f"A packed tensor names level {codes.max()} of {layout.choices}.")
        numbers = codes + (codes >= layout.levels // 2) if layout.choices < layout.levels else codes
        flat[where] = grid.values(numbers, where, layout.shape)
    else:
        flat[where] = np.frombuffer(values.tobytes(), dtype=f"<f{layout.value_bits // 8}")
    return flat.reshape(layout.shape)


def _positions(shape: tuple[int, ...], kept: np.ndarray) -> list[Layout]:
    """The ways to say where values lie, before it is said how they are stored."""
    count = math.prod(shape)
    plain = Layout(shape, count)
    if len(kept) == count:
        return [plain]
    found = [plain, Layout(shape, len(kept), "mask")]
    if len(kept) < (1 - SPARSE_ENOUGH) * count:
        gaps = _gaps(kept)
        ways = [
            Layout(shape, len(kept), "gaps", bits, len(kept) + int((gaps // (2**bits - 1)).sum()))
            for bits in range(1, MOST_GAP_BITS + 1)
        ]
        found.append(min(ways, key=lambda way: way.position_bytes))
    return found


def _valued(
    places: Layout, values: np.ndarray, grid: Grid | None, codes: np.ndarray | None, *, has_zeros: bool
) -> list[Layout]:
    """The ways to store the values of such positions."""
    found = [places]
    with np.errstate(over="ignore"):
        if np.array_equal(values.astype(np.float16).astype(np.float32), values):
            found.append(replace(places, value_bits=16))
    fits = codes is not None and not (
        has_zeros and places.positions == "all" and grid is not None and grid.levels % 2 == 0
    )
    if grid is not None and fits:
        choices = grid.levels - 1 if grid.levels % 2 and places.positions != "all" else grid.levels
        bits = code_bits(choices)
        axis = grid.channel_axis
        found.append(replace(places, value_bits=bits, levels=grid.levels, ranges=len(grid.ranges), channel_axis=axis))
    return found


def _range_bytes(layout: Layout, grid: Grid | None) -> np.ndarray:
    if not layout.levels or grid is None:
        return np.empty(0, np.uint8)
    return grid.ranges.astype("<f4").view(np.uint8)


def _gaps(kept: np.ndarray) -> np.ndarray:
    """How many zeros lie before each kept value."""
    return np.diff(kept, prepend=-1) - 1


def _pack_positions(layout: Layout, kept: np.ndarray) -> np.ndarray:
    if layout.positions == "mask":
        mask = np.zeros(layout.count, dtype=np.uint8)
        mask[kept] = 1
        return np.packbits(mask, bitorder="little")
    if layout.positions == "gaps":
        escape = 2**layout.gap_bits - 1
        gaps = _gaps(kept)
        stream = np.full(layout.gap_entries, escape, dtype=np.uint16)
        stream[np.cumsum(gaps // escape + 1) - 1] = gaps % escape
        return join_bits(stream, layout.gap_bits)
    return np.empty(0, np.uint8)


def _unpack_positions(layout: Layout, data: np.ndarray) -> np.ndarray:
    """Indices of the stored values; OptionError where there are more, fewer, or any outside the tensor."""
    if layout.positions == "all":
        return np.arange(layout.count)
    if layout.positions == "mask":
        where = np.flatnonzero(np.unpackbits(data, count=layout.count, bitorder="little"))
    else:
        stream = split_bits(data, layout.gap_bits, layout.gap_entries).astype(np.int64)
        is_value = stream != 2**layout.gap_bits - 1
        where = (np.cumsum(stream + is_value) - 1)[is_value]
    if len(where) != layout.stored or (len(where) and where[-1] >= layout.count):
        raise OptionError(f"A packed tensor of {layout.count} values says where {len(where)} lie, not {layout.stored}.")
    return where


def _pack_values(layout: Layout, flat: np.ndarray, codes: np.ndarray | None, where: np.ndarray) -> np.ndarray:
    if not layout.levels:
        floats = flat[where].astype(f"<f{layout.value_bits // 8}")
        return np.frombuffer(floats.tobytes(), dtype=np.uint8)
    assert codes is not None
    numbers = codes.reshape(-1)[where]
    if layout.choices < layout.levels:
        numbers = numbers - (numbers > layout.levels // 2)
    return join_bits(numbers, layout.value_bits)
