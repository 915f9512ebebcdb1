from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from autoseg.geometry import Box, Geometry
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.plans import Plans
from autoseg.preprocessing.case import CaseRecord, prepare
from autoseg.preprocessing.regrid import Regrid
from autoseg.preprocessing.restore import restore_labels, restore_probabilities

MakePlans = Callable[..., Plans]
TRANSPOSES = [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)]


def record(source: tuple[int, int, int], on_grid: tuple[int, int, int]) -> CaseRecord:
    spacing = (1.0, 1.0, 1.0)
    return CaseRecord("c", Geometry(source, spacing), (0, 1, 2), Box.whole(source), source, on_grid, spacing, spacing)


def exclusive(count: int) -> Labels:
    return Labels({f"class {value}": (value,) for value in range(1, count)})


def smooth_logits(count: int, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fields = gaussian_filter(rng.normal(size=(count, *shape)), (0, 3, 3, 3))
    noise = gaussian_filter(rng.normal(size=fields.shape), (0, 0.7, 0.7, 0.7))
    logits = 3 * fields / fields.std() + noise
    logits[0] += 3
    return logits.astype(np.float32)


def resampled(logits: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Every class at once: what restoring must equal."""
    regrid = Regrid.between(logits.shape[1:], shape, (1, 1, 1))
    return np.stack([regrid.read(channel, Box.whole(shape)) for channel in logits])


def one_hot(values: np.ndarray, count: int) -> np.ndarray:
    return np.stack([values == value for value in range(count)]).astype(np.float32)


@pytest.mark.parametrize("transpose", TRANSPOSES)
@pytest.mark.parametrize("seed", range(3))
def test_restoring_undoes_preparing_on_the_same_spacing(
    seed: int, transpose: tuple[int, ...], make_plans: MakePlans, make_labels: Callable[..., np.ndarray], labels: Labels
) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(4, 20, size=3))
    spacing = tuple(rng.uniform(0.5, 3, size=3))
    values = make_labels(shape, seed)
    values[0] = 0
    image = (values[None] > 0).astype(np.float32)
    geometry = Geometry(shape, spacing)
    plans = make_plans(tuple(spacing[axis] for axis in transpose), transpose=transpose)
    stage = plans.stages["3d_fullres"]
    case = prepare(Volume(image, geometry), Volume(values, geometry), plans, stage, case_id="c")
    np.testing.assert_array_equal(restore_labels(one_hot(case.labels, 4), case.record, labels), values)


@pytest.mark.parametrize("transpose", TRANSPOSES)
@pytest.mark.parametrize("target", [(0.8, 1.3, 0.9), (0.6, 0.5, 0.7), (4.0, 1.0, 1.0)])
def test_restoring_after_resampling_agrees_nearly_everywhere(
    target: tuple[float, ...],
    transpose: tuple[int, ...],
    make_plans: MakePlans,
    make_labels: Callable[..., np.ndarray],
    labels: Labels,
) -> None:
    values = make_labels((34, 30, 38), 5, smoothness=5)
    geometry = Geometry(values.shape, (1.0, 1.0, 1.0))
    plans = make_plans(target, transpose=transpose)
    image = np.ones((1, *values.shape), np.float32)
    stage = plans.stages["3d_fullres"]
    case = prepare(Volume(image, geometry), Volume(values, geometry), plans, stage, case_id="c")
    restored = restore_labels(one_hot(case.labels, 4), case.record, labels)
    assert np.mean(restored == values) > (0.97 if max(target) < 4 else 0.9)


@pytest.mark.parametrize("count", [2, 5, 14])
@pytest.mark.parametrize("source", [(61, 58, 50), (23, 19, 26)])
def test_deciding_within_boxes_equals_resampling_every_class_whole(count: int, source: tuple[int, int, int]) -> None:
    differing = total = 0
    for seed in range(2):
        logits = smooth_logits(count, (33, 31, 28), seed)
        expected = exclusive(count).decode(resampled(logits, source))
        found = restore_labels(logits, record(source, (33, 31, 28)), exclusive(count))
        differing, total = differing + int((found != expected).sum()), total + expected.size
    assert differing <= 1e-6 * total


def test_a_class_that_is_third_at_both_corners_wins_between_them() -> None:
    logits = np.full((6, 1, 1, 2), -100, np.float32)
    logits[[1, 2, 5], 0, 0, 0] = logits[[3, 4, 5], 0, 0, 1] = 10, 9, 8
    found = restore_labels(logits, record((1, 1, 8), (1, 1, 2)), exclusive(6))
    assert found.ravel().tolist() == [1, 1, 5, 5, 5, 5, 3, 3]


def steep_logits(count: int, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Without any smoothness, with many classes close behind the winner: these win between voxels."""
    steep = rng.choice(np.array([-100.0, -3, 8, 9, 10]), size=(count, *shape))
    return (steep + rng.normal(size=steep.shape) * 0.1).astype(np.float32)


def torch_resampled(logits: np.ndarray, shape: tuple[int, int, int], *, thick: bool) -> np.ndarray:
    every = torch.from_numpy(logits)[None]
    if thick:
        every = functional.interpolate(every, (shape[0], *logits.shape[2:]), mode="nearest-exact")
    return functional.interpolate(every, shape, mode="trilinear", align_corners=False)[0].numpy()


@pytest.mark.parametrize("thick", [False, True], ids=["isotropic", "thick slices"])
@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 2, 3), (3, 1, 4), (9, 8, 20)])
def test_no_class_is_lost_between_voxels(shape: tuple[int, int, int], thick: bool) -> None:
    """In small volumes most classes win at no voxel. Rounding may turn what is a tie up to 1e-4."""
    rng = np.random.default_rng(0)
    spacing = (4.0, 1.0, 1.0) if thick else (1.0, 1.0, 1.0)
    for count in (3, 6, 12, 18):
        for _ in range(20 if shape[2] < 9 else 1):
            source = tuple(int(n * factor) + 1 for n, factor in zip(shape, rng.uniform(0.5, 7, size=3), strict=True))
            logits = steep_logits(count, shape, rng)
            facts = replace(record(source, shape), source_spacing_mm=spacing, spacing_mm=spacing)
            every = torch_resampled(logits, source, thick=thick)
            best = np.sort(every, axis=0)
            decided = best[-1] - best[-2] > 1e-4
            found = restore_labels(logits, facts, exclusive(count))
            np.testing.assert_array_equal(found[decided], exclusive(count).decode(every)[decided])


def test_compact_organs_are_restored_as_whole_volumes_would_be() -> None:
    """Small balls, two of them in contact: the boxes are much smaller than the volume."""
    grid = np.stack(np.meshgrid(*[np.arange(40.0)] * 3, indexing="ij"))
    centres = [(10, 10, 10), (10, 10, 15), (30, 28, 25), (31, 10, 30)]
    balls = [3.5 - np.linalg.norm(grid - np.reshape(centre, (3, 1, 1, 1)), axis=0) for centre in centres]
    logits = np.stack([-np.max(balls, axis=0), *balls]).astype(np.float32) * 4
    expected = exclusive(5).decode(resampled(logits, (90, 80, 70)))
    assert set(np.unique(expected)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(restore_labels(logits, record((90, 80, 70), (40, 40, 40)), exclusive(5)), expected)


def test_regions_are_painted_in_their_order() -> None:
    regions = Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2))
    logits = smooth_logits(2, (20, 22, 24), 3) - 2
    expected = regions.decode(resampled(logits, (37, 41, 45)))
    assert set(np.unique(expected)) == {0, 1, 2}
    np.testing.assert_array_equal(restore_labels(logits, record((37, 41, 45), (20, 22, 24)), regions), expected)


def test_threads_change_nothing() -> None:
    logits = smooth_logits(4, (33, 20, 20), 1)
    facts = record((100, 30, 30), (33, 20, 20))
    one, three = (restore_labels(logits, facts, exclusive(4), workers=workers) for workers in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_probabilities_agree_with_labels_and_sum_to_one() -> None:
    logits, facts = smooth_logits(4, (15, 16, 17), 2), record((30, 31, 25), (15, 16, 17))
    probabilities = restore_probabilities(logits, facts, exclusive(4))
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=0), restore_labels(logits, facts, exclusive(4)))


def test_outside_the_crop_is_surely_background() -> None:
    facts = CaseRecord(
        "c",
        Geometry((6, 6, 6), (1.0, 1.0, 1.0)),
        (0, 1, 2),
        Box((1, 1, 1), (4, 5, 6)),
        (3, 4, 5),
        (3, 4, 5),
        (1.0, 1.0, 1.0),
        (1.0, 1.0, 1.0),
    )
    logits = np.stack([np.full((3, 4, 5), -5, np.float32), np.full((3, 4, 5), 5, np.float32)])
    assert restore_labels(logits, facts, exclusive(2)).sum() == 60
    assert restore_probabilities(logits, facts, exclusive(2))[0, 0, 0, 0] == 1


def test_region_probabilities_are_sigmoids_of_any_logit() -> None:
    regions = Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2))
    logits = np.array([-500, 500], np.float32).reshape(2, 1, 1, 1)
    probabilities = restore_probabilities(logits, record((1, 1, 1), (1, 1, 1)), regions)
    assert probabilities.ravel().tolist() == [0, 1]


def test_memory_does_not_grow_with_the_number_of_classes() -> None:
    def peak(count: int) -> int:
        logits = smooth_logits(count, (20, 20, 20), 0)
        tracemalloc.start()
        restore_labels(logits, record((70, 90, 90), (20, 20, 20)), exclusive(count))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(18) < 1.2 * peak(3)
