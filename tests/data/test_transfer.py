"""Batches reach a GPU whole and in order, one ahead; elsewhere they pass through."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from autoseg.data.loader import BatchLoader
from autoseg.data.source import Batch, PatchSource
from autoseg.data.transfer import on_device
from autoseg.losses.target import Target


def batch(number: int) -> Batch:
    labels = torch.full((2, 16, 16, 16), number)
    return Batch(torch.full((2, 1, 16, 16, 16), float(number)), Target(labels, torch.ones(2, 3, dtype=torch.bool)))


def test_on_a_cpu_batches_are_handed_on_as_they_come() -> None:
    batches = map(batch, range(3))
    assert on_device(batches, "cpu") is batches


def pinned_by_hand(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Pinning without a GPU: the batches that were pinned."""
    pinned: list[Batch] = []
    monkeypatch.setattr(Batch, "pin_memory", lambda self: pinned.append(self) or self)
    return pinned


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_pins_what_it_makes(stored: PatchSource, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = pinned_by_hand(monkeypatch)
    with BatchLoader(stored, start=2, workers=workers, pinned=True) as loader:
        found = list(islice(loader, 3))
    for number, one in enumerate(found, start=2):
        assert torch.equal(one.image, stored.batch(number).image)
    assert all(any(one is other for other in pinned) for one in found)


def test_a_loader_pins_nothing_unless_asked(stored: PatchSource, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = pinned_by_hand(monkeypatch)
    with BatchLoader(stored) as loader:
        next(loader)
    assert not pinned


def test_batches_arrive_on_a_gpu_in_order(cuda: str) -> None:
    slow = torch.randn(2048, 2048, device=cuda)
    sums = []
    for found in on_device(map(batch, range(6)), cuda):
        for _ in range(20):
            slow @ slow
        assert all(tensor.is_cuda for tensor in found.tensors)
        sums.append((found.image.mean(), found.target.labels.double().mean()))
    assert [(float(a), float(b)) for a, b in sums] == [(n, n) for n in range(6)]


def test_a_loader_s_batches_are_pinned_for_a_gpu(cuda: str, stored: PatchSource) -> None:
    with BatchLoader(stored, pinned=True) as loader:
        assert all(tensor.is_pinned() for tensor in next(loader).tensors)
        assert torch.equal(next(on_device(loader, cuda)).image.cpu(), stored.batch(1).image)
