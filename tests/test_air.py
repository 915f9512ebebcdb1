"""Where a CT holds nothing but air, against distances that scipy computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt

from autoseg.air import MARGIN_MM, Tissue, count_in_air, ct_channel
from autoseg.dataset import Case
from autoseg.geometry import Box, Geometry
from autoseg.io import Volume, write_image, write_labels
from autoseg.labels import Labels
from autoseg.measuring import measure_case
from autoseg.plans import AirRule

RULE = AirRule(0, -500.0, 6.0)


def gas_in_water(radius: int) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(90.0) - 44] * 3, indexing="ij"))
    return np.linalg.norm(grid, axis=0) < radius


@pytest.mark.parametrize("radius", [20, 30, 40])
def test_voxels_far_from_tissue_are_those_of_scipys_distance(radius: int) -> None:
    gas = gas_in_water(radius)
    box = Box.around(gas)
    assert box is not None
    expected = int((distance_transform_cdt(gas, "chessboard") > MARGIN_MM).sum())
    assert count_in_air(gas[box.slices], box, np.where(gas, -1000, 0), (1.0, 1.0, 1.0)) == expected
    assert (expected > 0) == (radius > 36)


def test_the_border_of_the_volume_is_no_tissue() -> None:
    air = np.full((50, 50, 50), -1000.0)
    assert count_in_air(np.ones((2, 2, 2), bool), Box((0, 0, 0), (2, 2, 2)), air, (1.0, 1.0, 1.0)) == 8


def test_a_case_is_measured_in_its_ct_channel(tmp_path: Path) -> None:
    gas, geometry = gas_in_water(40), Geometry((90, 90, 90), (1.0, 1.0, 1.0))
    case = Case("gas", (tmp_path / "gas_0000.nii.gz",), tmp_path / "gas.nii.gz")
    write_image(case.images[0], Volume(np.where(gas, -1000, 0).astype(np.float32), geometry))
    assert case.label is not None
    write_labels(case.label, Volume(gas.astype(np.int16), geometry))
    assert measure_case(case, Labels({"gas": (1,)}), 64).classes["gas"].in_air == 0
    assert measure_case(case, Labels({"gas": (1,)}), 64, ct=0).classes["gas"].in_air > 100


@pytest.mark.parametrize("shape", [(40, 50, 60), (20, 100, 60)])
def test_no_window_within_the_margin_of_tissue_is_far_from_it(shape: tuple[int, int, int]) -> None:
    """shape: of the grid that the windows lie on; the tissue was measured on another one."""
    rng, own, spacing = np.random.default_rng(0), (40, 50, 60), (2.0, 1.0, 0.7)
    volume = np.full(own, -1000.0)
    volume[tuple(rng.integers(0, n, 12) for n in own)] = 0
    voxels = np.argwhere(volume > -500)
    tissue = Tissue.of(volume, spacing, RULE)
    near = 0
    for _ in range(300):
        start = np.array([rng.integers(-3, n - 4) for n in shape])
        stop = start + 8
        low, high = (
            edge * np.array(own) / shape - sign * RULE.margin_mm / np.array(spacing)
            for edge, sign in ((start, 1), (stop, -1))
        )
        truly = bool(((voxels + 1 > low) & (voxels < high)).all(axis=1).any())
        found = tissue.is_near([slice(a, b) for a, b in zip(start, stop, strict=True)], shape)
        assert found or not truly
        near += found
    assert 0 < near < 300


def test_channels_are_known_by_their_name() -> None:
    assert ct_channel(("PET", "CT")) == 1
    assert ct_channel(("T1", "CTA")) is None
