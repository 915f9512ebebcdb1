from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import OptionError
from autoseg.plans import ChannelPlan, IntensityStatistics
from autoseg.preprocessing.normalization import normalized

STATISTICS = IntensityStatistics(40.0, 45.0, 20.0, -900.0, 1500.0, -100.0, 200.0)
VALUES = np.random.default_rng(0).normal(50, 300, (4, 5, 6)).astype(np.float32)


def result(scheme: str, values: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    return normalized(values, ChannelPlan("c", scheme, STATISTICS, mask is not None), mask)[:]


def test_ct_is_clipped_then_scaled_by_the_datasets_statistics() -> None:
    np.testing.assert_allclose(result("ct", VALUES), (np.clip(VALUES, -100, 200) - 40) / 20, rtol=1e-6)


def test_zscore_has_mean_zero_and_deviation_one() -> None:
    scaled = result("zscore", VALUES)
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.std() == pytest.approx(1, abs=1e-5)


def test_zscore_within_a_mask_leaves_the_rest_zero() -> None:
    mask = VALUES > 0
    scaled = result("zscore", np.where(mask, VALUES, 0), mask)
    assert scaled[mask].std() == pytest.approx(1, abs=1e-5)
    assert not scaled[~mask].any()


def test_zscore_of_large_intensities_keeps_its_precision() -> None:
    values = np.float32(1.7e6) + VALUES
    assert result("zscore", values).std() == pytest.approx(1, abs=1e-3)


def test_rescale_ends_at_zero_and_one() -> None:
    scaled = result("rescale", VALUES)
    assert (scaled.min(), scaled.max()) == (0, 1)


@pytest.mark.parametrize("scheme", ["zscore", "rescale"])
def test_a_constant_channel_becomes_zero(scheme: str) -> None:
    assert not result(scheme, np.full((2, 3, 4), 7, np.float32)).any()


def test_a_part_is_normalised_as_the_whole_is() -> None:
    channel = normalized(VALUES, ChannelPlan("c", "zscore", STATISTICS), None)
    np.testing.assert_array_equal(channel[1:3, 2:4], channel[:][1:3, 2:4])


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"no normalization 'histogram'.*ct, none, rescale, zscore"):
        result("histogram", VALUES)


def test_clip_maps_its_range_to_minus_one_and_one() -> None:
    plan = ChannelPlan("CT", "clip", STATISTICS, clip=(-200.0, 1000.0))
    values = np.array([[[-1000, -200, 400, 1000, 3000]]], np.float32)
    np.testing.assert_allclose(normalized(values, plan)[:], [[[-1, -1, 0, 1, 1]]], atol=1e-6)


def test_clip_without_a_range_is_refused() -> None:
    with pytest.raises(OptionError, match="has the scheme clip and no range"):
        result("clip", VALUES)
