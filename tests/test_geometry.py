from __future__ import annotations

import json
import pickle

import nibabel
import numpy as np
import pytest

from autoseg.errors import GeometryError
from autoseg.geometry import Box, Geometry


def random_geometry(seed: int) -> Geometry:
    random = np.random.default_rng(seed)
    matrix, _ = np.linalg.qr(random.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = matrix * random.uniform(0.2, 5, 3)
    affine[:3, 3] = random.uniform(-500, 500, 3)
    return Geometry.from_affine(tuple(random.integers(1, 50, 3)), affine)


def test_axes_are_those_of_the_array_and_the_world_is_x_y_z() -> None:
    geometry = Geometry((4, 3, 2), (5.0, 2.0, 1.0), (10.0, 20.0, 30.0))
    np.testing.assert_allclose(geometry.voxel_to_world((3, 2, 1)), (11, 24, 45))
    np.testing.assert_allclose(geometry.affine, [[1, 0, 0, 10], [0, 2, 0, 20], [0, 0, 5, 30], [0, 0, 0, 1]])
    assert geometry.voxel_volume_mm3 == 10


@pytest.mark.parametrize("seed", range(10))
def test_affine_round_trip(seed: int) -> None:
    geometry = random_geometry(seed)
    again = Geometry.from_affine(geometry.shape, geometry.affine)
    assert geometry.corner_distance_mm(again) < 1e-9
    assert again.spacing_mm == pytest.approx(geometry.spacing_mm)


@pytest.mark.parametrize("seed", range(10))
def test_voxel_and_world_undo_each_other(seed: int) -> None:
    geometry = random_geometry(seed)
    voxels = np.random.default_rng(seed).uniform(-50, 50, (4, 5, 3))
    np.testing.assert_allclose(geometry.world_to_voxel(geometry.voxel_to_world(voxels)), voxels, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_world_positions_are_nibabels(seed: int) -> None:
    geometry = random_geometry(seed)
    voxels = np.random.default_rng(seed).uniform(-50, 50, (20, 3))
    expected = nibabel.affines.apply_affine(geometry.affine, voxels[:, ::-1])
    np.testing.assert_allclose(geometry.voxel_to_world(voxels), expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_json_round_trip(seed: int) -> None:
    geometry = random_geometry(seed)
    assert Geometry.from_json(json.loads(json.dumps(geometry.to_json()))) == geometry


def test_corners_are_centres_of_voxels() -> None:
    corners = Geometry((4, 3, 2), (5.0, 2.0, 1.0)).corners_mm()
    assert corners.min(axis=0).tolist() == [0, 0, 0]
    assert corners.max(axis=0).tolist() == [1, 4, 15]
    assert corners.shape == (8, 3)


def test_matching_is_by_shape_and_corners() -> None:
    one = Geometry((100, 100, 100), (1.0, 1.0, 1.0))
    assert one.matches(Geometry((100, 100, 100), (1.00005, 1.0, 1.0)))
    assert not one.matches(Geometry((100, 100, 100), (1.001, 1.0, 1.0)))
    assert one.matches(Geometry((100, 100, 100), (1.001, 1.0, 1.0)), tolerance_mm=0.1)
    assert not one.matches(Geometry((100, 100, 99), (1.0, 1.0, 1.0)))


@pytest.mark.parametrize(("x", "grows_right"), [(1.0, True), (-1.0, False)])
def test_left_right_axis(x: float, grows_right: bool) -> None:
    direction = ((0.0, 0.0, 1.0), (x, 0.0, 0.0), (0.0, 1.0, 0.0))
    assert Geometry((1, 1, 1), (1.0, 1.0, 1.0), direction=direction).left_right_axis() == (1, grows_right)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"shape": (0, 1, 1)}, "at least one voxel"),
        ({"shape": (1, 1)}, "three axes"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "must be positive"),
        ({"spacing_mm": (1.0, -1.0, 1.0)}, "must be positive"),
        ({"spacing_mm": (1.0, np.nan, 1.0)}, "non-finite"),
        ({"origin_mm": (1.0, np.inf, 1.0)}, "non-finite"),
        ({"direction": ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))}, "sheared or singular"),
        ({"direction": ((1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 1.0))}, "sheared or singular"),
    ],
)
def test_grids_that_cannot_be(changes: dict, fact: str) -> None:
    with pytest.raises(GeometryError, match=fact):
        Geometry(**{"shape": (2, 2, 2), "spacing_mm": (1.0, 1.0, 1.0), **changes})


@pytest.mark.parametrize(
    ("affine", "fact"), [(np.full((4, 4), np.nan), "NaN"), (np.diag([1, 0, 1, 1]), "singular"), (np.ones((4, 4)), "sh")]
)
def test_affines_that_cannot_be(affine: np.ndarray, fact: str) -> None:
    with pytest.raises(GeometryError, match=fact):
        Geometry.from_affine((2, 2, 2), affine)


def test_geometry_crosses_process_borders() -> None:
    assert pickle.loads(pickle.dumps(random_geometry(0))) == random_geometry(0)


@pytest.mark.parametrize("seed", range(5))
def test_a_box_around_a_mask_is_the_smallest(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = np.zeros(random.integers(3, 9, 3), bool)
    mask[tuple(random.integers(0, n) for n in mask.shape)] = True
    mask[tuple(random.integers(0, n) for n in mask.shape)] = True
    box = Box.around(mask)
    assert mask[box.slices].sum() == mask.sum()
    where = np.argwhere(mask)
    assert (box.start, box.stop) == (tuple(where.min(0)), tuple(where.max(0) + 1))


def test_an_empty_mask_has_no_box() -> None:
    assert Box.around(np.zeros((2, 3), bool)) is None


def test_boxes_are_clipped_on_both_sides() -> None:
    box = Box((-2, 1, 5), (3, 9, 7))
    assert box.clipped((10, 4, 4)) == Box((0, 1, 4), (3, 4, 4))
    assert box.clipped((10, 4, 4)).shape == (3, 3, 0)
    assert Box((-5, 0), (-2, 4)).clipped((4, 4)).shape == (0, 4)


def test_boxes_grow_on_both_sides() -> None:
    assert Box((2, 3), (4, 5)).grown((1, 0)) == Box((1, 3), (5, 5))
    assert Box.whole((4, 5)).shape == (4, 5)


def test_a_box_has_as_many_starts_as_stops() -> None:
    with pytest.raises(GeometryError, match="as many starts as stops"):
        Box((1, 2), (3,))
