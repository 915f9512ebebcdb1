"""The surface between eight voxels, against pencil and paper and the package surface-distance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from surface_distance import lookup_tables

from autoseg.evaluation.surfels import CUBE, SQUARE, contour_lengths, neighbour_codes, surfel_areas

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 0.7, 0.9), (0.5, 2.0, 11.0)]


def code_of(*corners: tuple[int, ...]) -> int:
    return sum(1 << (CUBE if len(corners[0]) == 3 else SQUARE).index(corner) for corner in corners)


def test_one_corner_is_cut_off_by_a_triangle() -> None:
    assert surfel_areas((1, 1, 1))[code_of((0, 0, 0))] == pytest.approx(np.sqrt(3) / 8)


def test_a_plane_has_the_area_of_a_voxel_face() -> None:
    lower = [corner for corner in CUBE if corner[0] == 0]
    assert surfel_areas((5, 2, 3))[code_of(*lower)] == pytest.approx(2 * 3)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_code_and_its_complement_have_one_area(spacing: tuple[float, float, float]) -> None:
    areas = surfel_areas(spacing)
    np.testing.assert_allclose(areas, areas[::-1], rtol=1e-12)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_all_areas_equal_those_of_the_package(spacing: tuple[float, float, float]) -> None:
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    weights = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
    order = [sum(int(weights[corner]) for bit, corner in enumerate(CUBE) if code >> bit & 1) for code in range(256)]
    np.testing.assert_allclose(surfel_areas(spacing), theirs[order], atol=1e-12)


def test_all_lengths_equal_those_of_the_package() -> None:
    theirs = lookup_tables.create_table_neighbour_code_to_contour_length((0.7, 2.0))
    weights = lookup_tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL
    order = [sum(int(weights[corner]) for bit, corner in enumerate(SQUARE) if code >> bit & 1) for code in range(16)]
    np.testing.assert_allclose(contour_lengths((0.7, 2.0)), theirs[order], atol=1e-12)


def test_a_single_voxel_touches_the_eight_points_around_it() -> None:
    codes = neighbour_codes(np.ones((1, 1, 1), bool))
    for point in itertools.product((0, 1), repeat=3):
        opposite = tuple(1 - c for c in point)
        assert codes[point] == code_of(opposite)
