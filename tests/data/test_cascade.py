from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autoseg.data.cascade import MaskChanges, change_shape, class_masks, remove_component
from autoseg.labels import Labels

RNG = np.random.default_rng(0)
BLOB = ndimage.gaussian_filter(RNG.standard_normal((30, 30, 30)), 3) > 0.04


def ball(radius: int) -> np.ndarray:
    z, y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1, -radius : radius + 1]
    return z**2 + y**2 + x**2 <= radius**2


def two_masks() -> np.ndarray:
    return class_masks(np.where(BLOB, 1, np.where(np.roll(BLOB, 9, 0), 2, 0)), Labels({"a": (1,), "b": (2,)}))


def test_exclusive_labels_become_one_mask_each() -> None:
    masks = class_masks(np.array([[[0, 1, 2]]]), Labels({"a": (1,), "b": (2,)}))
    np.testing.assert_array_equal(masks[:, 0, 0], [[False, True, False], [False, False, True]])


def test_regions_overlap() -> None:
    masks = class_masks(np.array([[[0, 1, 2]]]), Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2)))
    np.testing.assert_array_equal(masks[:, 0, 0], [[False, True, True], [False, False, True]])


@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("operation", ["dilate", "erode"])
def test_shape_changes_equal_a_ball_as_structuring_element(operation: str, radius: int) -> None:
    function = ndimage.binary_dilation if operation == "dilate" else ndimage.binary_erosion
    border = {"border_value": 1} if operation == "erode" else {}
    expected = function(BLOB, ball(radius), **border)
    np.testing.assert_array_equal(change_shape(BLOB, operation, radius), expected)


def test_opening_removes_and_closing_adds() -> None:
    opened, closed = change_shape(BLOB, "open", 2), change_shape(BLOB, "close", 2)
    assert (opened <= BLOB).all()
    assert (closed >= BLOB).all()
    assert opened.sum() < BLOB.sum() < closed.sum()


def test_a_full_and_an_empty_mask_stay() -> None:
    for mask in (np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)):
        for operation in ("dilate", "erode", "open", "close"):
            np.testing.assert_array_equal(change_shape(mask, operation, 2), mask)


def test_one_small_component_is_removed() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[1:3, 1:3, 1:3] = mask[15:17, 15:17, 15:17] = True
    remove_component(mask, np.random.default_rng(0))
    assert mask.sum() == 8


def test_a_component_that_fills_the_patch_stays() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[:2] = True
    remove_component(mask, np.random.default_rng(0))
    assert mask.sum() == 200


def test_strength_zero_changes_nothing() -> None:
    changes, masks = MaskChanges(0.0, exclusive=True), two_masks()
    np.testing.assert_array_equal(changes.apply(masks.copy(), np.random.default_rng(0)), masks)


def test_frequency_scales_with_strength() -> None:
    def share(strength: float) -> float:
        rng, changes, masks = np.random.default_rng(1), MaskChanges(strength, exclusive=True), two_masks()[:, :12]
        return float(np.mean([not np.array_equal(changes.apply(masks.copy(), rng), masks) for _ in range(100)]))

    assert share(1.0) == pytest.approx(1 - 0.6 * 0.8, abs=0.15)
    assert share(0.25) == pytest.approx(1 - 0.9 * 0.95, abs=0.12)


@pytest.mark.parametrize("exclusive", [True, False])
def test_exclusive_masks_stay_apart(exclusive: bool) -> None:
    changes, rng = MaskChanges(2.5, exclusive=exclusive), np.random.default_rng(0)
    overlaps = [changes.apply(two_masks(), rng).all(0).any() for _ in range(10)]
    assert any(overlaps) != exclusive
