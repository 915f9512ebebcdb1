from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.transform import resize

from autoseg.preprocessing.resampling import resample_image, resample_labels, resampled_shape, separate_axis

SHAPES = [((20, 31, 17), (33, 20, 17)), ((5, 7, 9), (1, 2, 30)), ((40, 24, 30), (25, 50, 70)), ((1, 5, 5), (4, 9, 5))]


def ct_like(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Air, soft tissue and bone with sharp edges and noise, in HU."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=shape), 1.5)
    tissue = np.select([field < -0.05, field < 0.1], [-1000.0, 40.0], 900.0)
    return (tissue + rng.normal(0, 15, size=shape)).astype(np.float32)


def weights(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(values, *shape): skimage's linear interpolation of every label's mask."""
    masks = [(labels == value).astype(float) for value in range(labels.max() + 1)]
    return np.stack([resize(mask, shape, order=1, mode="edge", anti_aliasing=False) for mask in masks])


@pytest.mark.parametrize(("shape", "target"), SHAPES)
def test_images_equal_skimage_within_a_thousandth_of_a_hounsfield_unit(
    shape: tuple[int, int, int], target: tuple[int, int, int]
) -> None:
    image = ct_like(shape)
    expected = resize(image.astype(float), target, order=3, mode="edge", anti_aliasing=False)
    assert np.abs(resample_image(image[None], target)[0] - expected).max() < 1e-3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_separate_axis_is_resampled_like_the_peer_does(axis: int) -> None:
    image, plane_shape = ct_like((7, 8, 9)), (13, 11)
    planes = [
        resize(plane.astype(float), plane_shape, order=3, mode="edge", anti_aliasing=False)
        for plane in np.moveaxis(image, axis, 0)
    ]
    depth = image.shape[axis] * 2 - 1
    at = (np.arange(depth) + 0.5) * len(planes) / depth - 0.5
    grid = np.meshgrid(at, *[np.arange(n) for n in plane_shape], indexing="ij")
    expected = np.moveaxis(map_coordinates(np.stack(planes), grid, order=0, mode="nearest"), 0, axis)
    assert np.abs(resample_image(image[None], expected.shape, axis)[0] - expected).max() < 1e-3


def test_an_unchanged_shape_copies_the_values() -> None:
    image = ct_like((4, 5, 6))[None]
    np.testing.assert_array_equal(resample_image(image, (4, 5, 6)), image)


@pytest.mark.parametrize(("shape", "target"), SHAPES)
def test_two_labels_equal_the_peers_threshold(
    shape: tuple[int, int, int], target: tuple[int, int, int], make_labels: Callable[..., np.ndarray]
) -> None:
    labels = make_labels(shape, 1, count=2, smoothness=1)
    np.testing.assert_array_equal(resample_labels(labels, target), weights(labels, target)[1] >= 0.5 - 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_many_labels_go_to_the_largest_weight(seed: int, make_labels: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(seed)
    labels = make_labels((15, 21, 18), seed, count=6, smoothness=1)
    target = tuple(int(n) for n in rng.integers(5, 60, size=3))
    share = weights(labels, target)
    best = np.sort(share, axis=0)
    clear = best[-1] - best[-2] > 1e-5
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(resample_labels(labels, target)[clear], share.argmax(axis=0)[clear])


def test_no_hole_is_left_where_three_labels_meet() -> None:
    """The peer leaves background there, since no label reaches one half."""
    labels = np.array([[[1, 2], [3, 3]]], dtype=np.int16)
    assert (resample_labels(labels, (1, 9, 9)) > 0).all()


@pytest.mark.parametrize(("pair", "winner"), [((1, 2), 2), ((2, 1), 2), ((0, 1), 1), ((1, 0), 1)])
def test_the_higher_label_wins_a_tie_as_with_the_peer(pair: tuple[int, int], winner: int) -> None:
    labels = np.array(pair, dtype=np.int16).reshape(1, 1, 2)
    assert resample_labels(labels, (1, 1, 1)).item() == winner
    assert resample_labels(labels, (1, 1, 3)).ravel().tolist() == [pair[0], winner, pair[1]]


def test_labels_of_no_class_stay_background() -> None:
    assert not resample_labels(np.zeros((3, 4, 5), np.int16), (6, 6, 6)).any()


def test_the_shape_is_rounded_and_never_empty() -> None:
    assert resampled_shape((10, 20, 1), (2.0, 1.0, 1.0), (1.0, 1.6, 4.0)) == (20, 12, 1)


@pytest.mark.parametrize(
    ("spacing", "target", "expected"),
    [
        ((1, 1, 1), (3, 1, 1), None),
        ((3.1, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 4, 1), 1),
        ((1, 5, 5), (4, 1, 1), None),
    ],
)
def test_an_axis_is_separate_above_a_ratio_of_three(
    spacing: tuple[float, ...], target: tuple[float, ...], expected: int | None
) -> None:
    assert separate_axis(spacing, target) == expected
