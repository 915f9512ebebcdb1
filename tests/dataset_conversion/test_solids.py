"""The shapes of the phantom: their volumes, and their mirror images."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_conversion.solids import Arch, Column, Ellipsoid, Ring, Solid, Tube, mirrored, moved, pair

SOLIDS = (
    Ellipsoid((5, 2, -3), (6, 8, 10), floor_mm=-4),
    Column((4, 0, 1), (5, 8, 10)),
    Ring((3, 0, 0), (12, 12, 5), 4),
    Arch((-3, 1, 0), (12, 12, 5), 4),
    Tube(((2, 0, -10), (8, 3, 0), (1, 9, 4)), 3),
)


def grid() -> np.ndarray:
    """(3, 80, 80, 80) mm, symmetric about the origin."""
    line = np.arange(-20, 20, 0.5) + 0.25
    return np.stack(np.meshgrid(line, line, line, indexing="ij"))


def volume_mm3(solid: Solid) -> float:
    return float(solid.contains(grid()).sum()) * 0.5**3


def test_the_volumes_of_the_solids() -> None:
    assert volume_mm3(Ellipsoid((1, 2, 3), (6, 8, 10))) == pytest.approx(4 / 3 * np.pi * 6 * 8 * 10, rel=0.01)
    assert volume_mm3(Ellipsoid((0, 0, 0), (6, 8, 10), floor_mm=0)) == pytest.approx(2 / 3 * np.pi * 480, rel=0.01)
    assert volume_mm3(Column((1, 0, 0), (5, 8, 10))) == pytest.approx(np.pi * 5 * 8 * 20, rel=0.01)
    assert volume_mm3(Ring((0, 0, 0), (12, 12, 5), 4)) == pytest.approx(np.pi * (14**2 - 10**2) * 10, rel=0.01)
    assert volume_mm3(Arch((0, 0, 0), (12, 12, 5), 4)) == pytest.approx(np.pi / 2 * (14**2 - 10**2) * 10, rel=0.01)


def test_the_volume_of_a_tube() -> None:
    straight = np.pi * 5**2 * 20 + 4 / 3 * np.pi * 5**3
    assert volume_mm3(Tube(((-10, 0, 0), (10, 0, 0)), 5)) == pytest.approx(straight, rel=0.01)
    assert volume_mm3(Tube(((-10, 0, 0), (3, 0, 0), (10, 0, 0)), 5)) == pytest.approx(straight, rel=0.01)
    slanting = np.pi * 4**2 * 21 + 4 / 3 * np.pi * 4**3
    assert volume_mm3(Tube(((-8, -2, -7), (12, 2, -2)), 4)) == pytest.approx(slanting, rel=0.01)


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: type(solid).__name__)
def test_a_mirror_image_lies_on_the_other_side(solid: Solid) -> None:
    inside = solid.contains(grid())
    np.testing.assert_array_equal(mirrored(solid).contains(grid()), inside[::-1])
    assert mirrored(mirrored(solid)) == solid
    assert pair(solid) == (solid, mirrored(solid))


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: type(solid).__name__)
def test_moved_by_whole_steps_of_the_grid(solid: Solid) -> None:
    there = moved(solid, np.array([1.0, -2.0, 0.0]), 1.0).contains(grid())
    np.testing.assert_array_equal(there[2:, :-4], solid.contains(grid())[:-2, 4:])
