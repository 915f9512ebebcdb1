"""Distances between surfaces: by hand, and against the packages surface-distance and MONAI."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import surface_distance
from scipy.ndimage import gaussian_filter

from autoseg.evaluation import surface
from autoseg.evaluation.surface import SurfaceDistances, surface_distances
from autoseg.geometry import Box
from autoseg.io import read_labels


def blob(seed: int, shape: tuple[int, ...] = (12, 20, 24)) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    return noise > np.quantile(noise, 0.7)


def box(shape: tuple[int, ...], start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[Box(start, stop).slices] = True
    return mask


def measure_theirs(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> list[float]:
    with warnings.catch_warnings():
        # The package of 2018 calls scipy by names that are gone out of use.
        warnings.simplefilter("ignore", DeprecationWarning)
        found: dict[str, Any] = surface_distance.compute_surface_distances(reference, prediction, spacing)
    return [
        surface_distance.compute_robust_hausdorff(found, 95),
        surface_distance.compute_robust_hausdorff(found, 100),
        float(np.mean(surface_distance.compute_average_surface_distance(found))),
        surface_distance.compute_surface_dice_at_tolerance(found, 1.0),
        surface_distance.compute_surface_dice_at_tolerance(found, 2.0),
    ]


def figures(distances: SurfaceDistances) -> list[float]:
    return [
        distances.hausdorff_mm(95),
        distances.hausdorff_mm(100),
        distances.average_mm(),
        distances.dice(1.0),
        distances.dice(2.0),
    ]


def test_equal_masks_lie_at_distance_zero() -> None:
    assert figures(surface_distances(blob(1), blob(1), (3.0, 1.0, 1.0))) == [0, 0, 0, 1, 1]


def test_two_voxels_two_millimetres_apart() -> None:
    shape = (5, 5, 9)
    first, second = box(shape, (2, 2, 2), (3, 3, 3)), box(shape, (2, 2, 4), (3, 3, 5))
    # Of each voxel's eight corners four lie 1 mm and four lie 2 mm from the other voxel.
    assert figures(surface_distances(first, second, (1.0, 1.0, 1.0))) == pytest.approx([2, 2, 1.5, 0.5, 1])


def test_a_distance_of_exactly_the_tolerance_is_within_it() -> None:
    shape = (3, 3, 30)
    first, second = box(shape, (1, 1, 3), (2, 2, 4)), box(shape, (1, 1, 8), (2, 2, 9))
    assert surface_distances(first, second, (0.4, 0.4, 0.4)).dice(2.0) == 1.0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.9765625, 0.9765625), (0.4, 2.5, 0.7)])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_blobs_equal_the_package(seed: int, spacing: tuple[float, ...]) -> None:
    first, second = blob(seed), blob(seed + 100)
    assert figures(surface_distances(first, second, spacing)) == pytest.approx(
        measure_theirs(first, second, spacing), abs=1e-6
    )


def test_contours_in_a_plane_equal_the_package() -> None:
    first, second = blob(3, (40, 50)), blob(4, (40, 50))
    spacing = (0.8, 2.0)
    assert figures(surface_distances(first, second, spacing)) == pytest.approx(
        measure_theirs(first, second, spacing), abs=1e-6
    )


@pytest.mark.parametrize("largest", [0, 2**25])
def test_surfaces_far_apart_equal_the_package(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "LARGEST_TRANSFORM", largest)
    shape = (30, 36, 70)
    first, second = box(shape, (0, 2, 0), (30, 34, 20)), box(shape, (3, 0, 50), (28, 36, 65))
    spacing = (1.5, 1.0, 1.0)
    assert figures(surface_distances(first, second, spacing)) == pytest.approx(
        measure_theirs(first, second, spacing), abs=1e-6
    )


def test_a_shift_of_a_thick_plate_is_its_hausdorff_distance() -> None:
    import torch
    from monai.metrics import HausdorffDistanceMetric

    shape = (16, 20, 20)
    first, second = box(shape, (2, 2, 2), (8, 18, 18)), box(shape, (5, 2, 2), (11, 18, 18))
    metric = HausdorffDistanceMetric(include_background=True)
    tensors = [torch.from_numpy(mask[None, None]).float() for mask in (first, second)]
    with warnings.catch_warnings():
        # MONAI 1.6 calls itself in a way that it warns of.
        warnings.simplefilter("ignore", FutureWarning)
        theirs = metric(*tensors, spacing=[2.0, 1.0, 1.0])
    ours = surface_distances(first, second, (2.0, 1.0, 1.0)).hausdorff_mm(100)
    assert ours == pytest.approx(6.0)
    assert ours == pytest.approx(float(theirs))


@pytest.mark.real_data
@pytest.mark.parametrize("organ", ["Brainstem", "Parotid-Lt", "Optic-Nerve-Rt", "Mandible"])
def test_two_readers_equal_the_package(organ: str, test_data: Path) -> None:
    folder = test_data / "head_neck_two_readers"
    volumes = [
        read_labels(folder / reader / "0522c0017" / "segmentations" / f"{organ}.nrrd")
        for reader in ("oncologist", "radiographer")
    ]
    around = Box.around((volumes[0].array > 0) | (volumes[1].array > 0))
    assert around is not None
    first, second = (volume.array[around.slices] > 0 for volume in volumes)
    spacing = volumes[0].geometry.spacing_mm
    assert figures(surface_distances(first, second, spacing)) == pytest.approx(
        measure_theirs(first, second, spacing), abs=1e-6
    )
