from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autoseg.cropping import nonzero_box, nonzero_mask
from autoseg.geometry import Box


def test_mask_is_the_union_of_the_channels() -> None:
    image = np.zeros((2, 3, 4, 5), np.float32)
    image[0, 1, 1, 1] = -3
    image[1, 2, 3, 4] = 7
    assert np.argwhere(nonzero_mask(image)).tolist() == [[1, 1, 1], [2, 3, 4]]


@pytest.mark.parametrize("seed", range(5))
def test_mask_equals_scipy_on_random_shells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.random((1, *rng.integers(3, 12, size=3))) < 0.7).astype(np.float32)
    np.testing.assert_array_equal(nonzero_mask(image), ndimage.binary_fill_holes(image[0]))


def test_a_hole_is_filled_and_a_bay_is_not() -> None:
    image = np.ones((1, 5, 5, 5), np.float32)
    image[0, 2, 2, 2] = 0
    image[0, 0, 0, 0] = 0
    mask = nonzero_mask(image)
    assert mask[2, 2, 2]
    assert not mask[0, 0, 0]


def test_nan_counts_as_nonzero() -> None:
    image = np.zeros((1, 3, 3, 3), np.float32)
    image[0, 1, 1, 2] = np.nan
    assert nonzero_box(image) == Box((1, 1, 2), (2, 2, 3))


def test_the_box_of_zeros_is_the_whole_grid() -> None:
    assert nonzero_box(np.zeros((1, 2, 3, 4), np.float32)) == Box.whole((2, 3, 4))


@pytest.mark.parametrize("seed", range(5))
def test_the_box_is_that_of_the_filled_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.random((2, 6, 7, 8)) < 0.02).astype(np.float32)
    assert nonzero_box(image) == (Box.around(nonzero_mask(image)) or Box.whole((6, 7, 8)))
