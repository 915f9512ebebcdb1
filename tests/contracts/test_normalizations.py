from __future__ import annotations

import numpy as np
import pytest

from autoseg.plans import ChannelPlan, IntensityStatistics
from autoseg.preprocessing.normalization import NORMALIZATIONS, normalized

STATISTICS = IntensityStatistics(40.0, 45.0, 20.0, -900.0, 1500.0, -100.0, 200.0)
RANGE = (-300.0, 300.0)


@pytest.mark.parametrize("scheme", NORMALIZATIONS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["random", "constant", "zero"])
def test_every_scheme_gives_new_finite_float32_values(scheme: str, masked: bool, kind: str) -> None:
    rng = np.random.default_rng(0)
    values = {"random": rng.normal(0, 500, (3, 4, 5)), "constant": np.full((3, 4, 5), 9.0), "zero": np.zeros((3, 4, 5))}
    channel = values[kind].astype(np.float32)
    before = channel.copy()
    made = normalized(channel, ChannelPlan("c", scheme, STATISTICS, masked, RANGE), channel != 0)[:]
    assert made.dtype == np.float32
    assert made.shape == channel.shape
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(channel, before)
    assert not np.shares_memory(made, channel)


@pytest.mark.parametrize("scheme", NORMALIZATIONS)
def test_every_scheme_keeps_the_order_of_values(scheme: str) -> None:
    channel = np.linspace(-500, 900, 60, dtype=np.float32).reshape(3, 4, 5)
    made = normalized(channel, ChannelPlan("c", scheme, STATISTICS, clip=RANGE), None)[:]
    assert (np.diff(made.ravel()) >= 0).all()
