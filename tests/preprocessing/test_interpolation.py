from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import resize

from autoseg.geometry import Box
from autoseg.preprocessing.interpolation import BLOCK_ROWS, Axis, bands
from autoseg.preprocessing.regrid import Regrid

LENGTHS = [(1, 4), (2, 5), (3, 7), (31, 20), (20, 31), (100, 77), (60, 133)]


def dense(inputs: int, outputs: int, order: int) -> np.ndarray:
    matrix = np.zeros((outputs, inputs))
    for band in bands(inputs, outputs, order):
        matrix[band.start : band.stop, band.inputs] = band.weights
    return matrix


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize(("inputs", "outputs"), LENGTHS)
def test_the_matrix_equals_skimage(inputs: int, outputs: int, order: int) -> None:
    values = np.random.default_rng(0).normal(size=inputs)
    expected = resize(values, (outputs,), order=order, mode="edge", anti_aliasing=False, clip=False)
    np.testing.assert_allclose(dense(inputs, outputs, order) @ values, expected, atol=1e-6)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize(("inputs", "outputs"), LENGTHS)
def test_rows_sum_to_one_and_hold_no_denormal_numbers(inputs: int, outputs: int, order: int) -> None:
    matrix = dense(inputs, outputs, order)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=2e-6)
    assert np.abs(matrix[matrix != 0]).min() >= 1e-7


def test_bands_of_a_long_axis_are_narrow() -> None:
    assert max(band.weights.shape[1] for band in bands(512, 512 * 2, 3)) < BLOCK_ROWS + 2 * 14


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(("inputs", "outputs"), LENGTHS)
def test_reach_is_where_the_inputs_have_weight(inputs: int, outputs: int, order: int) -> None:
    axis, matrix = Axis(inputs, outputs, order), dense(inputs, outputs, order)
    for start in range(0, inputs, 3):
        part = slice(start, min(start + 2, inputs))
        rows = np.flatnonzero(matrix[:, part].any(axis=1))
        reach = axis.reach(part)
        assert set(rows) <= set(range(reach.start, reach.stop))
        assert reach.stop - reach.start <= len(rows) + 2


@pytest.mark.parametrize("seed", range(8))
def test_any_box_equals_that_part_of_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, outputs = rng.integers(1, 50, size=3), rng.integers(1, 80, size=3)
    regrid = Regrid.between(tuple(inputs), tuple(outputs), tuple(rng.choice([0, 1, 3], size=3)))
    array = rng.normal(size=inputs).astype(np.float32)
    start = [int(rng.integers(0, n)) for n in outputs]
    stop = [int(rng.integers(a + 1, n + 1)) for a, n in zip(start, outputs, strict=True)]
    box = Box(tuple(start), tuple(stop))
    whole = regrid.read(array, Box.whole(tuple(outputs)))
    np.testing.assert_allclose(regrid.read(array, box), whole[box.slices], atol=1e-5)


def test_nearest_takes_whole_slices() -> None:
    array = np.arange(4, dtype=np.float32).reshape(4, 1, 1)
    regrid = Regrid.between((4, 1, 1), (8, 1, 1), (0, 1, 1))
    assert regrid.read(array, Box.whole((8, 1, 1))).ravel().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
