"""Packed tensors: back exactly, as small as the formula says, and refused where the bytes are not right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoseg.errors import OptionError
from autoseg.networks.bits import join_bits, split_bits
from autoseg.networks.levels import Grid
from autoseg.networks.packing import Layout, Packed, pack, unpack

SHAPES = [(7,), (3, 5), (6, 4, 3, 3, 3), (1, 1, 1), (0, 3)]


def weights(shape: tuple[int, ...], *, zeros: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.2, shape).astype(np.float32)
    values[rng.random(shape) < zeros] = 0
    return values


@pytest.mark.parametrize("bits", range(17))
@pytest.mark.parametrize("count", [0, 1, 7, 8, 1000])
def test_numbers_come_back_out_of_their_bits(bits: int, count: int) -> None:
    numbers = np.random.default_rng(count).integers(0, 2**bits, count).astype(np.uint16)
    data = join_bits(numbers, bits)
    assert len(data) == -(-count * bits // 8)
    np.testing.assert_array_equal(split_bits(data, bits, count), numbers)


def test_bits_are_joined_block_by_block_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).integers(0, 32, 1001)
    whole = join_bits(numbers, 5)
    monkeypatch.setattr("autoseg.networks.bits.BLOCK", 64)
    np.testing.assert_array_equal(join_bits(numbers, 5), whole)
    np.testing.assert_array_equal(split_bits(whole, 5, 1001), numbers)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.9, 0.995, 1.0])
@pytest.mark.parametrize("levels", [None, 2, 3, 7, 15, 31, 256])
@pytest.mark.parametrize("per_channel", [False, True])
def test_every_tensor_comes_back_exactly(
    shape: tuple[int, ...], zeros: float, levels: int | None, per_channel: bool
) -> None:
    array, grid = weights(shape, zeros=zeros), None
    if levels is not None:
        axis = len(shape) - 1 if per_channel else 0
        ranges = np.linspace(0, 0.5, shape[axis]) if per_channel else np.array([0.45])
        grid = Grid(levels, ranges.astype(np.float32), axis)
        array = np.where(array == 0, np.float32(0), grid.rounded(array))
    packed = pack(array, grid)
    assert len(packed.data) == packed.layout.bytes <= 4 * array.size
    found = unpack(packed)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array)


def test_thirty_one_levels_take_five_bits_a_weight() -> None:
    grid = Grid(31, np.array([0.45], np.float32))
    packed = pack(grid.rounded(weights((16, 8, 3, 3, 3), zeros=0)), grid)
    assert packed.layout.bytes == 4 + 16 * 8 * 27 * 5 / 8


@pytest.mark.parametrize(("levels", "bits"), [(2, 1), (3, 2), (7, 3), (15, 4), (31, 5)])
def test_levels_take_no_more_bits_than_number_them(levels: int, bits: int) -> None:
    """The thesis's sizes; a zero that is frequent makes it less."""
    grid = Grid(levels, np.full(8, 0.45, np.float32))
    assert Layout((8, 2000), 16_000, value_bits=bits, levels=levels, ranges=8).bytes == 4 * 8 + 16_000 * bits // 8
    often_zero, evenly = (np.random.default_rng(1).normal(0, spread, (8, 2000)) for spread in (0.05, 5))
    assert pack(grid.rounded(evenly.astype(np.float32)), grid).layout.bytes <= 4 * 8 + 16_000 * bits // 8
    if levels in (3, 7):
        assert pack(grid.rounded(often_zero.astype(np.float32)), grid).layout.bytes < 16_000 * bits // 8


def test_the_shortest_way_is_taken() -> None:
    dense, some, few = (pack(weights((50, 200), zeros=zeros)).layout for zeros in (0.0, 0.3, 0.98))
    assert (dense.positions, some.positions, few.positions) == ("all", "mask", "gaps")
    assert some.bytes == 10_000 // 8 + 4 * some.stored
    assert few.bytes < 10_000 // 8 + 4 * few.stored
    assert few.bytes == 4 * few.stored + -(-few.gap_entries * few.gap_bits // 8)


def test_half_precision_where_it_is_exact() -> None:
    array = weights((100,), zeros=0).astype(np.float16).astype(np.float32)
    assert pack(array).layout.value_bits == 16
    array[0] = 1e-9
    assert pack(array).layout.value_bits == 32
    array[0] = 1e30
    assert pack(array).layout.value_bits == 32


def test_a_zero_among_an_even_number_of_levels_is_kept() -> None:
    grid = Grid(2, np.array([0.5], np.float32))
    array = np.full(80, 0.5, np.float32)
    array[::5] = 0
    packed = pack(array, grid)
    assert (packed.layout.levels, packed.layout.value_bits, packed.layout.positions) == (2, 1, "mask")
    np.testing.assert_array_equal(unpack(packed), array)


def test_levels_that_weights_do_not_lie_on_are_ignored() -> None:
    array = weights((40,), zeros=0)
    assert pack(array, Grid(7, np.array([0.45], np.float32))).layout.levels == 0
    assert pack(array, Grid(7, np.full(3, 0.45, np.float32))).layout.levels == 0
    array[0] = np.nan
    np.testing.assert_array_equal(unpack(pack(array, Grid(7, np.array([0.45], np.float32)))), array)


def test_levels_are_uniform_between_the_ends() -> None:
    grid = Grid(7, np.array([0.45], np.float32))
    ends = np.linspace(-0.45, 0.45, 7, dtype=np.float32)
    np.testing.assert_allclose(grid.rounded(ends), ends, atol=1e-7)
    np.testing.assert_array_equal(grid.rounded(np.array([-9, 0.01, 9], np.float32)), np.float32([-0.45, 0, 0.45]))
    assert Grid(2, np.array([0.5], np.float32)).rounded(np.array([0.1, -0.1], np.float32)).tolist() == [0.5, -0.5]


def sparse() -> Packed:
    return pack(weights((50, 200), zeros=0.98))


def leveled() -> Packed:
    grid = Grid(6, np.array([0.45], np.float32))
    return pack(grid.rounded(weights((50, 20), zeros=0)), grid)


@pytest.mark.parametrize("packed", [sparse(), leveled()], ids=["gaps", "levels"])
def test_bytes_that_were_cut_are_refused(packed: Packed) -> None:
    with pytest.raises(OptionError, match="bytes, its layout"):
        unpack(Packed(packed.layout, packed.data[:-1]))


def test_positions_outside_the_tensor_are_refused() -> None:
    packed = sparse()
    smaller = replace(packed.layout, shape=(50, 20))
    with pytest.raises(OptionError, match="says where"):
        unpack(Packed(smaller, packed.data))


def test_a_mask_of_another_count_is_refused() -> None:
    packed = pack(weights((50, 200), zeros=0.3))
    data = packed.data.copy()
    data[0] ^= 1
    with pytest.raises(OptionError, match="says where"):
        unpack(Packed(packed.layout, data))


def test_a_level_that_does_not_exist_is_refused() -> None:
    packed = leveled()
    data = packed.data.copy()
    data[4:] = 255
    with pytest.raises(OptionError, match="names level 7 of 6"):
        unpack(Packed(packed.layout, data))


@pytest.mark.parametrize(
    "wrong",
    [
        {"stored": 9},
        {"stored": -1},
        {"positions": "some"},
        {"positions": "mask"},
        {"value_bits": 7},
        {"levels": 3},
        {"levels": 3, "ranges": 1, "value_bits": 3},
        {"levels": 3, "ranges": 4, "value_bits": 2},
        {"levels": 3, "ranges": 8, "value_bits": 2, "channel_axis": 1},
        {"positions": "gaps", "stored": 1, "gap_bits": 13, "gap_entries": 1},
        {"ranges": 1},
    ],
    ids=str,
)
def test_layouts_that_nothing_can_have_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Layout(**{"shape": (8,), "stored": 8, **wrong})  # type: ignore[arg-type]
