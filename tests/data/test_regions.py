"""Patches of regions: what training sees is what prediction cuts."""

from __future__ import annotations

import math
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


@pytest.mark.parametrize(("batch_size", "crops"), [(2, 1), (2, 4), (4, 2), (2, 3)])
def test_a_batch_of_a_shared_network_is_of_one_organ_and_all_regions_have_their_turn(
    batch_size: int, crops: int
) -> None:
    box = Box((4, 4, 4), (20, 20, 20))
    patches = {0: (16, 16, 16), 1: (8, 24, 8), 2: (8, 8, 8)}
    regions = {
        f"{organ}_{number}": CaseRegions(box, None, (0, 0, 0), organ, patches[organ])
        for organ, count in ((0, 5), (1, 2), (2, 1))
        for number in range(count)
    }
    store: Any = SimpleNamespace(labels=lambda case: np.zeros(SHAPE, np.int16), foreground=lambda case: {})
    options = SamplingOptions((8, 8, 8), 0.0, crops_per_case=crops)
    made = RegionSampler(PatchSampler(store, list(regions), options, seed=0), regions, batch_size=batch_size)
    cases = math.lcm(batch_size, crops) // crops
    row = cases * crops
    count = 100 * row
    ids = [made.case_id(number) for number in range(count)]
    organs = [regions[name].organ for name in ids]
    for first in range(0, count, batch_size):
        assert len(set(organs[first : first + batch_size])) == 1
    for first in range(0, count, crops):
        assert len(set(ids[first : first + crops])) == 1
    for number, box in enumerate(boxes(made)):
        assert box.shape == regions[ids[number]].patch_size
    rows = [tuple(sorted(set(ids[first : first + row]))) for first in range(0, count, row)]
    turn = sum(-(-number // cases) for number in (5, 2, 1))
    for first in range(0, len(rows) - turn, turn):
        seen = [name for one in rows[first : first + turn] for name in one]
        assert set(seen) == set(regions)
        assert len(seen) - len(regions) < cases, "none comes twice, save to fill a batch up"
        assert len({one[0][0] for one in rows[first : first + 3]}) == 3, "a turn begins with each organ"
    assert rows[:turn] != rows[turn : 2 * turn]
