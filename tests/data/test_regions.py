"""Patches of regions: what training sees is what prediction cuts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autoseg.data.regions import CaseRegions, RegionSampler
from autoseg.data.sampling import PatchSampler, SamplingOptions
from autoseg.geometry import Box

SHAPE = (40, 40, 40)


def sampler(regions: CaseRegions, patch: int = 16, foreground: float = 0.0) -> RegionSampler:
    store: Any = SimpleNamespace(
        labels=lambda case: np.zeros(SHAPE, np.int16), foreground=lambda case: {"organ": np.array([[29, 15, 15]])}
    )
    return RegionSampler(
        PatchSampler(store, ["case"], SamplingOptions((patch,) * 3, foreground), seed=0), {"case": regions}
    )


def boxes(made: RegionSampler, count: int = 60) -> list[Box]:
    return [made.box(number, np.random.default_rng(number)) for number in range(count)]


def middles(found: list[Box]) -> set[tuple[int, ...]]:
    return {tuple((a + b) // 2 for a, b in zip(box.start, box.stop, strict=True)) for box in found}


def test_patches_stand_on_the_located_box_or_move_about_the_true_one() -> None:
    true, located = Box((10, 10, 10), (20, 20, 20)), Box((22, 22, 22), (28, 28, 28))
    found = middles(boxes(sampler(CaseRegions(true, located, (2, 0, 0)))))
    assert found == {(25, 25, 25)} | {(15 + z, 15, 15) for z in (-2, -1, 0, 1, 2)}


@pytest.mark.parametrize("kept", ["true", "located"])
def test_one_box_suffices(kept: str) -> None:
    box = Box((10, 10, 10), (20, 20, 20))
    regions = CaseRegions(box if kept == "true" else None, box if kept == "located" else None, (0, 0, 0))
    assert middles(boxes(sampler(regions))) == {(15, 15, 15)}


def test_patches_of_a_longer_region_stay_within_it_and_reach_its_ends() -> None:
    region = Box((5, 12, 12), (35, 20, 20))
    found = boxes(sampler(CaseRegions(region, None, (0, 0, 0)), patch=8), 400)
    assert min(box.start[0] for box in found) == 5
    assert max(box.stop[0] for box in found) == 35


def test_forced_samples_hold_a_voxel_of_the_organ() -> None:
    region = Box((5, 12, 12), (35, 20, 20))
    for box in boxes(sampler(CaseRegions(region, None, (0, 0, 0)), patch=8, foreground=1.0)):
        assert box.start[0] <= 29 < box.stop[0]
