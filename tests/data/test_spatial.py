from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from autoseg.data.spatial import SpatialChange, SpatialLimits, SpatialRanges, cut_image, cut_labels, rotation_matrix
from autoseg.geometry import Box

BOX = Box((3, 4, 5), (13, 16, 19))
SHAPE = (20, 22, 24)
RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((2, *SHAPE)).astype(np.float32)
LABELS = RNG.integers(0, 4, (5, 5, 6)).repeat(4, 0).repeat(5, 1).repeat(4, 2)[:20, :22, :24].astype(np.int16)


def change(angles: tuple[float, float, float], scale: float, *, in_plane: bool = False) -> SpatialChange:
    scales = np.diag([1.0 if in_plane else scale, scale, scale])
    return SpatialChange(rotation_matrix(angles) @ scales, in_plane)


def expected_points(box: Box, matrix: np.ndarray) -> np.ndarray:
    centre = (np.array(box.start) + np.array(box.stop) - 1) / 2
    offsets = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in box.shape], indexing="ij"))
    return np.tensordot(matrix, offsets, 1) + centre[:, None, None, None]


def test_no_change_is_a_plain_crop() -> None:
    np.testing.assert_array_equal(cut_image(IMAGE, BOX, SpatialChange()), IMAGE[(slice(None), *BOX.slices)])
    np.testing.assert_array_equal(cut_labels(LABELS, BOX, SpatialChange(), outside=0), LABELS[BOX.slices])


@pytest.mark.parametrize("in_plane", [True, False])
def test_a_rotation_by_nothing_is_a_plain_crop(in_plane: bool) -> None:
    nothing = change((0, 0, 0), 1, in_plane=in_plane)
    np.testing.assert_allclose(cut_image(IMAGE, BOX, nothing), IMAGE[(slice(None), *BOX.slices)], atol=1e-4)
    np.testing.assert_array_equal(cut_labels(LABELS, BOX, nothing, outside=0), LABELS[BOX.slices])


@pytest.mark.parametrize("box", [BOX, Box((-4, 0, 10), (24, 6, 24)), Box((0, 0, 0), (8, 8, 8))])
@pytest.mark.parametrize(
    "turned",
    [change((0.4, -0.3, 0.5), 1.3), change((0, 0, 0), 0.7), change((2.5, 0, 0), 1.2, in_plane=True)],
    ids=["turned", "scaled", "in plane"],
)
def test_equals_scipy(box: Box, turned: SpatialChange) -> None:
    padded = np.pad(IMAGE[0], 20)
    points = expected_points(box, turned.matrix) + 20
    expected = map_coordinates(padded, points, order=1)
    np.testing.assert_allclose(cut_image(IMAGE, box, turned)[0], expected, atol=1e-4)


@pytest.mark.parametrize("box", [BOX, Box((-4, 0, 10), (24, 6, 24))])
@pytest.mark.parametrize("turned", [change((0.4, -0.3, 0.5), 1.3), change((2.5, 0, 0), 1.2, in_plane=True)])
def test_labels_equal_the_largest_interpolated_class(box: Box, turned: SpatialChange) -> None:
    padded = np.pad(LABELS, 20, constant_values=3)
    points = expected_points(box, turned.matrix) + 20
    shares = np.stack([map_coordinates((padded == value).astype(float), points, order=1) for value in range(4)])
    clear = np.sort(shares, 0)[-1] - np.sort(shares, 0)[-2] > 0.01
    found = cut_labels(LABELS, box, turned, outside=3)
    np.testing.assert_array_equal(found[clear], shares.argmax(0)[clear])
    assert clear.mean() > 0.9


def test_image_and_labels_are_moved_alike() -> None:
    z, y, x = np.ogrid[:20, :22, :24]
    ball = (z - 8) ** 2 + (y - 10) ** 2 + (x - 12) ** 2 <= 16
    turned = SpatialChange(change((0.5, 0.2, -0.4), 0.8).matrix, flips=(0, 2))
    image = cut_image(ball[None].astype(np.float32), BOX, turned)[0]
    labels = cut_labels(ball.astype(np.int16), BOX, turned, outside=0)
    assert ((image > 0.5) == (labels == 1)).mean() > 0.999


def test_flips_mirror_the_patch() -> None:
    flipped = cut_image(IMAGE, BOX, SpatialChange(flips=(0, 2)))
    np.testing.assert_array_equal(flipped, IMAGE[(slice(None), *BOX.slices)][:, ::-1, :, ::-1])


def test_a_small_volume_is_padded() -> None:
    patch = cut_image(np.ones((1, 2, 2, 2), np.float32), Box((-1, -1, -1), (3, 3, 4)), SpatialChange())
    assert patch.shape == (1, 4, 4, 5)
    assert patch.sum() == 8
    labels = cut_labels(np.ones((2, 2, 2), np.int16), Box((-1, -1, -1), (3, 3, 4)), SpatialChange(), outside=7)
    assert (labels == 7).sum() == 72


def test_a_patch_does_not_share_memory_with_the_case() -> None:
    image = IMAGE.copy()
    cut_image(image, BOX, SpatialChange())[...] = 0
    np.testing.assert_array_equal(image, IMAGE)


@pytest.mark.parametrize(
    ("patch", "in_plane", "degrees"),
    [
        ((40, 56, 40), False, 30),
        ((20, 320, 256), True, 180),
        ((1, 128, 128), True, 180),
        ((1, 256, 128), True, 15),
    ],
)
def test_ranges_follow_the_shape_of_the_patch(patch: tuple[int, int, int], in_plane: bool, degrees: int) -> None:
    ranges = SpatialRanges.of_patch(patch, (0, 1, 2))
    assert (ranges.in_plane, round(math.degrees(ranges.rotation))) == (in_plane, degrees)
    assert (0 in ranges.mirror_axes) == (patch[0] > 1)


@pytest.mark.parametrize(
    ("patch", "region_mm", "in_plane", "degrees"),
    [
        ((40, 160, 20), (4.7, 2.5, 4.7), False, 15),
        ((28, 56, 28), (4.7, 2.5, 4.7), False, 30),
        ((24, 24, 24), (5.0, 1.0, 1.0), True, 180),
        ((8, 80, 20), (5.0, 1.0, 1.0), True, 15),
    ],
)
def test_the_shape_of_an_organ_says_nothing_of_its_voxels(
    patch: tuple[int, int, int], region_mm: tuple[float, ...], in_plane: bool, degrees: int
) -> None:
    ranges = SpatialRanges.of_patch(patch, (), region_mm=region_mm)
    assert (ranges.in_plane, round(math.degrees(ranges.rotation))) == (in_plane, degrees)


def test_in_plane_changes_leave_slices_apart() -> None:
    ranges = SpatialRanges.of_patch((5, 20, 20), ())
    rng = np.random.default_rng(0)
    matrices = [drawn.matrix for drawn in (ranges.draw(rng, 1.0) for _ in range(200)) if drawn.matrix is not None]
    assert matrices
    for matrix in matrices:
        np.testing.assert_array_equal(matrix[0], (1, 0, 0))
        np.testing.assert_array_equal(matrix[:, 0], (1, 0, 0))


def test_frequencies_are_the_peers_and_scale_with_strength() -> None:
    ranges = SpatialRanges.of_patch((20, 20, 20), (0, 1, 2))
    rng = np.random.default_rng(0)
    drawn = [ranges.draw(rng, 1.0) for _ in range(2000)]
    assert np.mean([d.matrix is not None for d in drawn]) == pytest.approx(1 - 0.8**2, abs=0.04)
    assert np.mean([1 in d.flips for d in drawn]) == pytest.approx(0.5, abs=0.04)
    weak = [ranges.draw(rng, 0.5) for _ in range(2000)]
    assert np.mean([d.matrix is not None for d in weak]) == pytest.approx(1 - 0.9**2, abs=0.04)
    none = [ranges.draw(rng, 0.0) for _ in range(100)]
    assert all(d.matrix is None and not d.flips for d in none)


def test_limits_take_the_place_of_the_peers_ranges() -> None:
    ranges = SpatialRanges.of_patch((40, 40, 40), (), SpatialLimits(5.0, (0.9, 1.1), 8))
    assert (round(math.degrees(ranges.rotation)), ranges.scales, ranges.shift) == (5, (0.9, 1.1), (8, 8, 8))
    rng = np.random.default_rng(0)
    drawn = [ranges.draw(rng, 1.0) for _ in range(300)]
    volumes = [np.linalg.det(change.matrix) for change in drawn if change.matrix is not None]
    assert 0.9**3 <= min(volumes) < 0.95**3
    assert 1.05**3 < max(volumes) <= 1.1**3


def test_shifts_reach_both_ends_and_are_for_every_patch() -> None:
    ranges = SpatialRanges.of_patch((40, 40, 40), (), SpatialLimits(shift_voxels=3))
    rng = np.random.default_rng(0)
    shifts = np.array([ranges.draw(rng, 1.0).shift for _ in range(400)])
    assert (shifts.min(axis=0).tolist(), shifts.max(axis=0).tolist()) == ([-3] * 3, [3] * 3)
    assert np.mean((shifts == 0).all(axis=1)) < 0.02
    assert np.mean([any(ranges.draw(rng, 0.5).shift) for _ in range(1000)]) == pytest.approx(0.5, abs=0.05)
    assert not any(any(ranges.draw(rng, 0.0).shift) for _ in range(100))


@pytest.mark.parametrize(
    ("patch", "shift"), [((24, 40, 64), (6, 8, 8)), ((8, 64, 64), (0, 8, 8)), ((1, 16, 64), (0, 4, 8))]
)
def test_a_patch_is_not_shifted_out_of_what_it_shows(patch: tuple[int, int, int], shift: tuple[int, ...]) -> None:
    assert SpatialRanges.of_patch(patch, (), SpatialLimits(shift_voxels=8)).shift == shift


@pytest.mark.parametrize(("start", "step", "moved"), [(10, 5, 15), (10, -5, 5), (0, -5, -4), (20, 20, 25), (-6, 0, -6)])
def test_the_centre_of_a_shifted_box_stays_in_the_case(start: int, step: int, moved: int) -> None:
    box = SpatialChange(shift=(step, 0, 0)).moved(Box((start, 0, 0), (start + 8, 8, 8)), (30, 8, 8))
    assert box == Box((moved, 0, 0), (moved + 8, 8, 8))


def test_a_large_shift_leaves_something_to_turn() -> None:
    ranges = SpatialRanges.of_patch((8, 8, 8), (), SpatialLimits(180.0, (0.5, 0.6), 8))
    rng, image = np.random.default_rng(0), np.ones((1, 1, 2, 9), np.float32)
    for start in ((-3, -3, 0), (-3, -3, 1)):
        for _ in range(200):
            change = ranges.draw(rng, 5.0)
            box = change.moved(Box(start, tuple(s + 8 for s in start)), image.shape[1:])
            assert cut_image(image, box, change).shape == (1, 8, 8, 8)
