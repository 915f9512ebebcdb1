from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from autoseg.data.sampling import box_around, is_forced, random_box
from autoseg.data.source import PatchSource
from autoseg.labels import Labels


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1 / 3, 0.5, 0.9, 1.0])
def test_the_share_of_forced_samples_is_exact(fraction: float) -> None:
    forced = [is_forced(number, fraction) for number in range(1200)]
    assert sum(forced) == round(1200 * fraction)


def test_with_one_half_the_last_of_two_is_forced() -> None:
    assert [is_forced(number, 0.5) for number in range(6)] == [False, True] * 3


@pytest.mark.parametrize("shape", [(20, 30, 40), (10, 30, 9), (5, 6, 7)])
def test_boxes_stay_inside_or_are_centred(shape: tuple[int, int, int]) -> None:
    rng, patch = np.random.default_rng(0), (10, 12, 14)
    for _ in range(200):
        for box in (random_box(shape, patch, rng), box_around(rng.integers(shape), shape, patch)):
            for start, stop, length, edge in zip(box.start, box.stop, shape, patch, strict=True):
                assert stop - start == edge
                before, after = -start, stop - length
                assert (before <= 0 and after <= 0) if length >= edge else after - before in (0, 1)


def test_a_box_around_a_voxel_holds_it_at_both_ends() -> None:
    for voxel in np.ndindex(9, 9, 9):
        box = box_around(voxel, (9, 9, 9), (4, 5, 9))
        assert all(start <= v < stop for start, v, stop in zip(box.start, voxel, box.stop, strict=True))


def test_random_boxes_reach_both_ends() -> None:
    rng = np.random.default_rng(0)
    starts = {random_box((6, 4, 4), (4, 4, 4), rng).start[0] for _ in range(100)}
    assert starts == {0, 1, 2}


def test_each_case_is_equally_frequent(source_of: Callable[..., PatchSource]) -> None:
    source = source_of({f"c{number}": np.ones((4, 4, 4), np.int16) for number in range(7)}, (4, 4, 4))
    counts = Counter(source.sampler.case_id(number) for number in range(70))
    assert set(counts.values()) == {10}


def test_forced_samples_take_classes_equally_whatever_their_size(source_of: Callable[..., PatchSource]) -> None:
    labels = np.zeros((40, 40, 40), np.int16)
    labels[:20] = 1
    labels[38, 38, 38] = 2
    source = source_of({"case": labels}, (3, 3, 3), batch_size=1, foreground_fraction=1.0, augmentation=0.0)
    centres = [int(source.sample(number).labels.max()) for number in range(200)]
    assert 60 < centres.count(2) < 140


def test_long_run_share_with_single_samples(source_of: Callable[..., PatchSource]) -> None:
    labels = np.zeros((30, 30, 30), np.int16)
    labels[15, 15, 15] = 1
    source = source_of({"case": labels}, (3, 3, 3), batch_size=1, foreground_fraction=0.25, augmentation=0.0)
    hits = sum(bool((source.batch(index).target.labels == 1).any()) for index in range(200))
    assert 50 <= hits <= 55


def test_unforced_patches_are_centred_on_annotated_voxels(source_of: Callable[..., PatchSource]) -> None:
    labels = np.full((30, 30, 30), 2, np.int16)
    labels[14:16, 14:16, 14:16] = 0
    meaning = Labels({"organ": (1,)}, ignore=2)
    source = source_of({"case": labels}, (3, 3, 3), labels=meaning, foreground_fraction=0.0, augmentation=0.0)
    assert all((source.sample(number).labels == 0).any() for number in range(50))


def test_a_case_without_any_class_gives_patches_all_the_same(source_of: Callable[..., PatchSource]) -> None:
    source = source_of({"case": np.zeros((9, 9, 9), np.int16)}, (3, 3, 3), foreground_fraction=1.0)
    assert source.batch(0).image.shape == (2, 1, 3, 3, 3)


def test_crops_of_a_case_come_in_a_row_and_are_balanced(source_of: Callable[..., PatchSource]) -> None:
    maps = {f"c{number}": np.ones((4, 4, 4), np.int16) for number in range(5)}
    sampler = source_of(maps, (4, 4, 4), crops_per_case=4, foreground_fraction=0.5).sampler
    cases = [sampler.case_id(number) for number in range(40)]
    assert all(len(set(cases[start : start + 4])) == 1 for start in range(0, 40, 4))
    assert set(Counter(cases).values()) == {8}
    assert [sum(is_forced(number, 0.5) for number in range(start, start + 4)) for start in range(0, 40, 4)] == [2] * 10
