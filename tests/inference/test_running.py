"""Windows in batches: smaller ones, and sums on the host, where a GPU's memory is too little."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from autoseg.errors import ResourceError
from autoseg.inference import places as place_module
from autoseg.inference import sliding_window
from autoseg.inference.arrays import Array, kind_of, on_host
from autoseg.inference.places import PlacesInFile, PlacesInMemory, PlacesOnGpu
from autoseg.inference.running import WindowRunner
from autoseg.inference.sliding_window import EmptyWindows, slide, stream
from autoseg.inference.windows import Windows

IMAGE = np.random.default_rng(0).normal(size=(1, 20, 15, 16)).astype(np.float32)
WINDOWS = Windows((8, 8, 8), batch_size=4)


def doubled(batch: Array) -> Array:
    return kind_of(batch).concat([batch, -2 * batch], axis=1)


class Small:
    """A network on a device of which the memory is too small for more windows than `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen: list[int] = []

    def __call__(self, batch: Array) -> Array:
        self.seen.append(len(batch))
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return doubled(batch)


def fake_gpu(monkeypatch: pytest.MonkeyPatch, *, in_file: bool = False) -> list[PlacesOnGpu]:
    """Sums as on a GPU, although in the memory of this process; the places that are made."""
    made: list[PlacesOnGpu] = []

    def places(device: str, shape: tuple[int, int, int, int], *, in_file: bool = in_file) -> PlacesOnGpu:
        host = partial(PlacesInFile if in_file else PlacesInMemory, shape)
        made.append(PlacesOnGpu(shape, "cpu", host))
        return made[-1]

    monkeypatch.setattr(sliding_window, "places_on", places)
    return made


@pytest.mark.parametrize(("most", "attempts"), [(3, [4, 2]), (1, [4, 2, 1])])
def test_batches_are_halved_once_and_for_all(most: int, attempts: list[int], caplog: pytest.LogCaptureFixture) -> None:
    network = Small(most)
    np.testing.assert_array_equal(slide(IMAGE, network, WINDOWS), slide(IMAGE, doubled, WINDOWS))
    assert network.seen[: len(attempts)] == attempts
    assert set(network.seen[len(attempts) :]) == {attempts[-1]}
    assert len(caplog.records) == len(attempts) - 1


def test_windows_of_air_are_left_out_in_smaller_batches_too() -> None:
    empty = EmptyWindows(lambda where: where[0].start == 0 and where[2].start > 0, (5.0, -5.0))
    expected = slide(IMAGE, doubled, WINDOWS, empty=empty)
    np.testing.assert_array_equal(slide(IMAGE, Small(1), WINDOWS, empty=empty), expected)


@pytest.mark.parametrize("in_file", [False, True])
def test_sums_move_to_the_host_in_the_middle(
    in_file: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = slide(IMAGE, doubled, WINDOWS)
    made = fake_gpu(monkeypatch)
    calls = []

    def network(batch: Array) -> Array:
        calls.append(len(batch))
        if len(calls) > 2 and made[0]._is_on_gpu:
            raise RuntimeError("CUDA error: out of memory")
        return doubled(batch)

    whole = sliding_window.WholeLogits(IMAGE.shape[1:], (0, 1, 2))
    stream(IMAGE, network, WINDOWS, whole, in_file=in_file)
    np.testing.assert_allclose(whole.logits, expected, rtol=1e-5, atol=1e-6)
    assert calls[:6] == [4, 4, 4, 2, 1, 1]
    assert isinstance(made[0]._places, PlacesInFile if in_file else PlacesInMemory)
    assert not made[0]._is_on_gpu
    assert "go on in main memory" in caplog.text


def test_no_room_for_the_sums_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> Array:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    host = PlacesInMemory((2, 3, 4, 4))
    monkeypatch.setattr(torch, "zeros", refuse)
    places = PlacesOnGpu((2, 3, 4, 4), "cpu", lambda: host)
    assert next(places.blocks())[1] is host._sums
    assert not places.leave_gpu()


def test_sums_move_class_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    monkeypatch.setattr(place_module, "on_host", lambda array: moved.append(tuple(array.shape)) or on_host(array))
    places = PlacesOnGpu((2, 3, 4, 4), "cpu", partial(PlacesInMemory, (2, 3, 4, 4)))
    assert places.leave_gpu()
    assert moved == [(3, 4, 4)] * 2


def test_no_room_to_gather_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    places = PlacesOnGpu((2, 3, 4, 4), "cpu", partial(PlacesInMemory, (2, 3, 4, 4)))
    next(places.blocks())[1].fill_(7)
    read, calls = PlacesInMemory.read, []

    def once(self: PlacesInMemory, index: int, part: tuple[slice, ...]) -> np.ndarray:
        calls.append(index)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return read(self, index, part)

    monkeypatch.setattr(PlacesInMemory, "read", once)
    assert places.read(1, (slice(0, 2), slice(0, 1), slice(0, 1))).tolist() == [[[7]], [[7]]]
    assert not places._is_on_gpu


def test_no_room_to_add_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = slide(IMAGE, doubled, WINDOWS)
    made = fake_gpu(monkeypatch)
    weights = sliding_window.WindowPath.weights

    def too_large(self: sliding_window.WindowPath, at: tuple[int, ...]) -> Array | None:
        if made and made[0]._is_on_gpu and at[0] > 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return weights(self, at)

    monkeypatch.setattr(sliding_window.WindowPath, "weights", too_large)
    np.testing.assert_allclose(slide(IMAGE, doubled, WINDOWS), expected, rtol=1e-5, atol=1e-6)
    assert not made[0]._is_on_gpu


def test_a_window_that_never_fits_is_told() -> None:
    with pytest.raises(ResourceError, match="single window does not fit into the free memory of the device cpu"):
        slide(IMAGE, Small(0), WINDOWS)


def test_other_errors_are_raised_at_once() -> None:
    def broken(batch: Array) -> Array:
        raise RuntimeError("shape mismatch")

    runner = WindowRunner(broken, "cpu", is_2d=False, make_room=lambda: True)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(runner.run([np.zeros((1, 2, 2, 2), np.float32)]))


@pytest.mark.parametrize("windows", [WINDOWS, Windows((8, 8), batch_size=3)], ids=["volumes", "slices"])
@pytest.mark.parametrize("in_file", [False, True])
def test_a_gpu_gives_the_same_sums(cuda: str, windows: Windows, in_file: bool) -> None:
    whole = sliding_window.WholeLogits(IMAGE.shape[1:], (0, 1, 2))
    stream(IMAGE, doubled, windows, whole, in_file=in_file, device=cuda)
    np.testing.assert_allclose(whole.logits, slide(IMAGE, doubled, windows), rtol=1e-5, atol=1e-5)


def test_windows_reach_a_gpu_whole_while_it_computes(cuda: str) -> None:
    """Each batch is many times as long in computing as in copying, so that a buffer filled too early would show."""
    slow = torch.randn(2048, 2048, device=cuda)

    def network(batch: Array) -> Array:
        for _ in range(50):
            slow @ slow
        return doubled(batch)

    image = np.random.default_rng(1).normal(size=(1, 60, 40, 40)).astype(np.float32)
    found = slide(image, network, WINDOWS, device=cuda)
    np.testing.assert_allclose(found, slide(image, doubled, WINDOWS), rtol=1e-5, atol=1e-5)


def test_a_full_gpu_hands_its_sums_to_the_host(cuda: str, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def network(batch: Array) -> Array:
        calls.append(len(batch))
        if len(calls) in (3, 4, 5):
            torch.empty(1 << 50, device=batch.device)
        return doubled(batch)

    np.testing.assert_allclose(
        slide(IMAGE, network, WINDOWS, device=cuda), slide(IMAGE, doubled, WINDOWS), rtol=1e-5, atol=1e-5
    )
    assert calls[:6] == [4, 4, 4, 2, 1, 1]
    assert "go on in main memory" in caplog.text
