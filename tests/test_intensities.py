from __future__ import annotations

import numpy as np
import pytest

from autoseg.intensities import merge_samples, points_per_case, sample_intensities


@pytest.fixture
def cases() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(mean, 50, count).astype(np.float32) for mean, count in ((0, 5000), (100, 20000), (-300, 1))]


def test_statistics_equal_those_of_all_voxels_together(cases: list[np.ndarray]) -> None:
    found = merge_samples([sample_intensities(case, 1 << 16) for case in cases])
    voxels = np.concatenate(cases)
    assert found is not None
    assert found.mean == pytest.approx(voxels.mean(dtype=np.float64))
    assert found.std == pytest.approx(voxels.std(dtype=np.float64))
    assert (found.min, found.max) == (voxels.min(), voxels.max())
    ranked = np.sort(voxels)
    for fraction, value in ((0.005, found.percentile_00_5), (0.5, found.median), (0.995, found.percentile_99_5)):
        assert value == ranked[int(np.ceil(fraction * voxels.size)) - 1]


def test_a_bounded_sample_misses_percentiles_by_little(cases: list[np.ndarray]) -> None:
    found = merge_samples([sample_intensities(case, 500) for case in cases])
    voxels = np.sort(np.concatenate(cases))
    assert found is not None
    for fraction, value in ((0.005, found.percentile_00_5), (0.5, found.median), (0.995, found.percentile_99_5)):
        assert abs(np.searchsorted(voxels, value) / voxels.size - fraction) <= 0.5 / 500 + 1e-4


def test_whole_hounsfield_units_are_exact() -> None:
    voxels = np.random.default_rng(0).integers(-1000, 1000, 100_000).astype(np.float32)
    sample = sample_intensities(voxels, 4096)
    assert sample.values.size == 2000
    assert sample.weights.sum() == 100_000


def test_moments_survive_a_large_offset() -> None:
    voxels = (1e6 + np.arange(1000) % 3).astype(np.float32)
    found = merge_samples([sample_intensities(voxels, 10)])
    assert found is not None
    assert found.std == pytest.approx(voxels.std(dtype=np.float64), rel=1e-9)


def test_non_finite_voxels_are_left_out() -> None:
    found = merge_samples([sample_intensities(np.array([1, np.nan, np.inf, 3], np.float32), 10)])
    assert found is not None
    assert (found.mean, found.max) == (2.0, 3.0)


def test_no_voxels_give_no_statistics() -> None:
    assert merge_samples([sample_intensities(np.zeros(0, np.float32), 10)]) is None


def test_all_samples_together_are_bounded() -> None:
    assert points_per_case(10) * 10 <= 1 << 22
    assert points_per_case(1) <= 1 << 18
    assert points_per_case(10**6) == 1 << 12
