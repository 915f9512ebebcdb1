"""Windows cover, weights blend to one, and what a network knows comes back unchanged."""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import Any

import numpy as np
import pytest

from autoseg.errors import OptionError
from autoseg.geometry import Box, Geometry
from autoseg.inference import sliding_window
from autoseg.inference.open_planes import OpenPlanes
from autoseg.inference.places import Places, PlacesInFile, PlacesInMemory, places_on
from autoseg.inference.sliding_window import EmptyWindows, slide, stream
from autoseg.inference.windows import WindowPath, Windows, gaussian_weights, stream_order, window_starts
from autoseg.labels import Labels
from autoseg.preprocessing.case import CaseRecord
from autoseg.preprocessing.restore import LabelRestorer, ProbabilityRestorer, Together, restore_labels


def identity(batch: np.ndarray) -> np.ndarray:
    return np.concatenate([batch, -2 * batch], axis=1)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
def test_windows_cover_an_axis_with_at_least_the_overlap(overlap: float) -> None:
    for length, patch in itertools.product(range(1, 60, 3), (1, 2, 5, 8, 17)):
        starts = window_starts(length, patch, overlap)
        assert starts[0] == 0
        assert starts[-1] + patch >= length
        assert length <= patch or starts[-1] + patch == length
        gaps = [b - a for a, b in itertools.pairwise(starts)]
        assert all(0 < gap <= np.ceil(max(1, patch * (1 - overlap))) for gap in gaps)


def test_windows_are_those_of_nnunet() -> None:
    assert window_starts(110, 64, 0.5) == [0, 23, 46]
    assert window_starts(123, 128, 0.5) == [0]
    assert window_starts(100, 40, 0.5) == [0, 20, 40, 60]
    assert window_starts(101, 40, 0.5) == [0, 15, 30, 46, 61]


def test_gaussian_weights_are_symmetric_with_a_positive_rim() -> None:
    weights = gaussian_weights(9)
    assert weights[4] == 1
    np.testing.assert_allclose(weights, weights[::-1])
    assert weights[0] == pytest.approx(np.exp(-0.5 * (4 / (9 / 8)) ** 2))
    assert gaussian_weights(128).min() > 3e-4


@pytest.mark.parametrize("shape", [(9, 11, 13), (4, 4, 4), (3, 21, 5), (1, 1, 1)])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_patches_of_what_is_known_aggregate_to_it(shape: tuple[int, int, int], batch_size: int, overlap: float) -> None:
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    image[0, 0, 0, 0] = 1
    logits = slide(image, identity, Windows((4, 5, 6), overlap, batch_size))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, np.concatenate([image, -2 * image]), rtol=1e-5, atol=1e-6)


def test_ones_aggregate_to_ones() -> None:
    logits = slide(np.ones((1, 30, 31, 29), np.float32), np.ones_like, Windows((8, 10, 7)))
    np.testing.assert_allclose(logits, 1, atol=1e-6)


def test_a_small_image_is_padded_with_zeros_around_its_centre() -> None:
    seen = []
    slide(np.ones((1, 3, 8, 4), np.float32), lambda batch: seen.append(batch) or batch, Windows((6, 8, 4)))
    assert [float(batch.sum()) for batch in seen] == [3 * 8 * 4]
    assert seen[0][0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 0, 0]


def test_the_middle_of_a_window_outweighs_its_rim() -> None:
    def position(batch: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.arange(batch.shape[-1], dtype=np.float32), batch.shape).copy()

    line = slide(np.zeros((1, 1, 1, 12), np.float32), position, Windows((1, 1, 8)))[0, 0, 0]
    assert line[0] == pytest.approx(0)
    assert line[11] == pytest.approx(7)
    w = gaussian_weights(8)
    assert line[5] == pytest.approx((5 * w[5] + 1 * w[1]) / (w[5] + w[1]), rel=1e-5)


def test_slices_reach_a_2d_network_in_batches() -> None:
    shapes = []
    image = np.random.default_rng(1).normal(size=(2, 5, 9, 7)).astype(np.float32)
    logits = slide(image, lambda batch: shapes.append(tuple(batch.shape)) or batch, Windows((9, 8), batch_size=2))
    assert shapes == [(2, 2, 9, 8), (2, 2, 9, 8), (1, 2, 9, 8)]
    np.testing.assert_allclose(logits, image)


def test_progress_ends_with_all_windows() -> None:
    told = []
    slide(
        np.zeros((1, 8, 8, 8), np.float32),
        identity,
        Windows((4, 8, 8), batch_size=2),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(2, 3), (3, 3)]


def record(prepared: tuple[int, int, int], source: tuple[int, int, int]) -> CaseRecord:
    ones = (1.0, 1.0, 1.0)
    return CaseRecord("c", Geometry(source, ones), (0, 1, 2), Box.whole(source), source, prepared, ones, ones)


def four_classes(batch: np.ndarray) -> np.ndarray:
    return np.concatenate([batch, np.roll(batch, 1, -1), np.roll(batch, 2, -2), np.flip(batch, -1)], axis=1)


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize(
    ("prepared", "source", "patch", "batch_size"),
    [
        ((50, 21, 19), (110, 40, 41), (8, 12, 10), 1),
        ((21, 50, 19), (60, 51, 23), (12, 8, 10), 2),
        ((9, 14, 70), (9, 31, 70), (12, 16, 9), 3),
        ((40, 9, 9), (5, 18, 18), (8, 12, 12), 4),
        ((7, 8, 9), (20, 20, 20), (8, 12, 12), 1),
        ((30, 20, 20), (30, 20, 20), (8, 12, 12), 1),
    ],
)
def test_labels_of_a_stream_are_those_of_all_logits(
    prepared: tuple[int, int, int], source: tuple[int, int, int], patch: tuple[int, ...], batch_size: int, in_file: bool
) -> None:
    image = np.random.default_rng(0).normal(size=(1, *prepared)).astype(np.float32)
    labels, facts = Labels({"a": (1,), "b": (2,), "c": (3,)}), record(prepared, source)
    windows = Windows(patch, batch_size=batch_size)
    order = stream_order(prepared, windows)
    restorer, kept = LabelRestorer(facts, labels, order=order), ProbabilityRestorer(facts, labels, order=order)
    stream(image, four_classes, windows, Together([restorer, kept]), order=order, in_file=in_file)
    logits = slide(image, four_classes, windows)
    whole = LabelRestorer(facts, labels, order=order)
    whole.advance(logits.transpose(0, *[1 + axis for axis in order]), prepared[order[0]])
    np.testing.assert_array_equal(restorer.restored, whole.restored)
    assert (restorer.restored == restore_labels(logits, facts, labels)).mean() > 0.9999
    assert (restorer.restored == kept.restored.argmax(0)).mean() > 0.9999


def test_planes_are_open_along_the_axis_that_needs_the_fewest() -> None:
    windows = Windows((32, 64, 64))
    assert stream_order((400, 128, 128), windows) == (0, 1, 2)
    assert stream_order((40, 512, 128), windows) == (1, 0, 2)
    assert stream_order((300, 512, 512), windows) == (0, 1, 2)
    assert WindowPath.over((400, 128, 128), windows, (0, 1, 2)).depth(18) == 32 + 17
    assert WindowPath.over((400, 128, 128), Windows((32, 64, 64), batch_size=10), (0, 1, 2)).depth(1) == 32 + 16
    assert WindowPath.over((40, 128, 128), windows, (0, 1, 2)).depth(18) == 40


def test_planes_that_are_released_make_room_for_later_ones() -> None:
    for places in (PlacesInMemory((2, 5, 1, 3)), PlacesInFile((2, 5, 1, 3))):
        planes = OpenPlanes(places, 5, (slice(1, 20), slice(0, 1), slice(1, 3)))
        ones = np.ones((2, 4, 1, 2), np.float32)
        planes.add(ones, (slice(0, 4), slice(0, 1), slice(0, 2)), np.full((4, 1, 1), 2, np.float32))
        planes.release(3)
        planes.add(ones, (slice(3, 7), slice(0, 1), slice(0, 2)), np.full((1, 1, 1), 3, np.float32))
        found = planes[1][slice(2, 6), slice(0, 1), slice(0, 2)]
        assert found.tolist() == [[[5, 0]], [[3, 0]], [[3, 0]], [[3, 0]]]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_empty_windows_are_not_run_and_change_nothing_beside_them(batch_size: int) -> None:
    image = np.random.default_rng(0).normal(size=(1, 30, 20, 40)).astype(np.float32)
    windows, seen = Windows((8, 8, 8), batch_size=batch_size), []
    empty = EmptyWindows(lambda where: where[2].start >= 20 or where[0].start >= 18, (7.0, -7.0))
    network = lambda batch: seen.append(len(batch)) or identity(batch)  # noqa: E731
    expected, found = slide(image, identity, windows), slide(image, network, windows, empty=empty)
    path = WindowPath.over(image.shape[1:], windows, (0, 1, 2))
    boxes = [path.where(at) for at in itertools.product(*(range(len(axis.starts)) for axis in path.axes))]
    skipped = [box for box in boxes if empty.are(box)]
    assert set(seen) == {batch_size}
    assert len(boxes) - len(skipped) <= sum(seen) < len(boxes)
    assert batch_size > 1 or sum(seen) == len(boxes) - len(skipped)
    touched, run = np.zeros(image.shape[1:], bool), np.zeros(image.shape[1:], bool)
    for box in boxes:
        (touched if box in skipped else run)[box] = True
    np.testing.assert_array_equal(found[:, ~touched], expected[:, ~touched])
    np.testing.assert_allclose(found[:, ~run], np.broadcast_to([[7], [-7]], (2, (~run).sum())), rtol=1e-5)
    assert run.any()
    assert (~run).any()
    assert (run & touched).any()


def test_an_image_of_nothing_is_never_run() -> None:
    def refuse(batch: np.ndarray) -> np.ndarray:
        raise AssertionError

    empty = EmptyWindows(lambda where: True, (1.0, -1.0, -1.0))
    for shape in ((20, 20, 20), (4, 4, 4)):
        assert slide(np.zeros((1, *shape), np.float32), refuse, Windows((8, 8, 8)), empty=empty).argmax(0).max() == 0


def test_logits_are_gone_before_the_next_ones_and_sums_with_the_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    sums: list[weakref.ref] = []
    outputs: list[weakref.ref] = []

    def places(*arguments: Any, **options: Any) -> Places:
        made = places_on(*arguments, **options)
        sums.append(weakref.ref(made))
        return made

    def network(batch: np.ndarray) -> np.ndarray:
        assert not any(one() is not None for one in outputs)
        logits = identity(batch)
        outputs.append(weakref.ref(logits))
        return logits

    monkeypatch.setattr(sliding_window, "places_on", places)
    gc.disable()
    try:
        slide(np.zeros((1, 20, 20, 20), np.float32), network, Windows((8, 8, 8), batch_size=2))
        assert [one() for one in sums] == [None]
    finally:
        gc.enable()
    assert len(outputs) > 1


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_impossible_overlap_is_refused(overlap: float) -> None:
    with pytest.raises(OptionError, match="overlap must be at least 0 and below 1"):
        Windows((4, 4, 4), overlap)
