"""Batches on a GPU before they are needed: one is copied while the one before is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch

from autoseg.data.source import Batch
from autoseg.runtime.gpu import is_gpu


def on_device(batches: Iterator[Batch], device: str) -> Iterator[Batch]:
    """The same batches; for a GPU they are there already, for anything else they are handed on as they come."""
    return CopiedAhead(batches, device) if is_gpu(device) else batches


@final
class CopiedAhead:
    """Iterates over batches on a GPU, one ahead, copied by a stream of its own.

    Only out of pinned memory can a copy run beside computing: batches that are not are pinned here, which costs time.
    The next batch is asked for before one is handed on, so that batches should be made ahead, see BatchLoader.
    """

    def __init__(self, batches: Iterator[Batch], device: str) -> None:
        self._batches = batches
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)
        self._copied = torch.cuda.Event()
        self._ahead: Batch | None = None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """The next batch; the current stream waits until it is copied."""
        if self._ahead is None:
            self._copy_next()
        batch = self._ahead
        if batch is None:
            raise StopIteration
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(self._copied)
        for tensor in batch.tensors:
            tensor.record_stream(computing)  # else its memory could be given to the next copy while it is read
        self._copy_next()
        return batch

    def _copy_next(self) -> None:
        self._ahead = None
        batch = next(self._batches, None)
        if batch is None:
            return
        pinned = batch if batch.image.is_pinned() else batch.pin_memory()
        with torch.cuda.stream(self._stream):
            self._ahead = pinned.to(self._device)
            self._copied.record(self._stream)
