"""Windows to logits: copied to where the network is, in batches as large as memory turns out to allow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, final

import numpy as np

from autoseg.errors import ResourceError
from autoseg.inference.arrays import Array
from autoseg.memory import is_out_of_memory
from autoseg.runtime.gpu import is_gpu

if TYPE_CHECKING:
    from torch import Tensor

LOG = logging.getLogger(__name__)
Network = Callable[[Array], Array]


@final
class WindowRunner:
    """Runs a network over windows.

    network: (B, C, *patch) to logits (B, K, *patch), arrays of the device's kind. is_2d: windows are slices
    (C, 1, y, x), which the network sees without their axis. make_room: frees memory of the device that something else
    holds; whether it did.
    """

    def __init__(self, network: Network, device: str, *, is_2d: bool, make_room: Callable[[], bool]) -> None:
        self._network = network
        self._device = device
        self._is_2d = is_2d
        self._make_room = make_room
        self._feed: Callable[[list[np.ndarray]], Array] = CudaFeed(device) if is_gpu(device) else np.stack
        self._most: int | None = None

    def run(self, windows: list[np.ndarray]) -> Iterator[tuple[int, Array]]:
        """Yield the logits (b, K, z, y, x) of consecutive windows (C, z, y, x), with the number of the first of them.

        Where memory is too little for all at once, batches are halved, from now on; where it is too little for a single
        one, room is made. ResourceError where there is none to be made.
        """
        first = 0
        while first < len(windows):
            part = windows[first : first + (self._most or len(windows))]
            logits = self._logits(part)
            if logits is None:
                self._relieve(len(part))
            else:
                yield first, logits
                first += len(part)

    def _logits(self, windows: list[np.ndarray]) -> Array | None:
        """None where memory was too little; by then the error, which holds on to arrays, is gone."""
        try:
            batch = self._feed(windows)
            return self._network(batch[:, :, 0])[:, :, None] if self._is_2d else self._network(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _relieve(self, count: int) -> None:
        if is_gpu(self._device):
            import torch

            torch.cuda.empty_cache()
        if count > 1:
            self._most = count // 2
            LOG.warning("Memory is too little for %d windows at a time: %d from here on.", count, self._most)
        elif self._make_room():
            LOG.warning("The GPU's memory is too little for the sums of logits: they go on in main memory.")
        else:
            raise ResourceError(
                f"A single window does not fit into the free memory of the device {self._device}.",
                "Use --device cpu, or end other programs on the GPU."
                if is_gpu(self._device)
                else "End other programs, or use a machine with more memory.",
            )


@final
class CudaFeed:
    """Brings windows to a GPU through two pinned buffers, by a stream of its own.

    Kernels run behind the program: while the GPU computes a batch, the next one is cut and copied.
    """

    def __init__(self, device: str) -> None:
        import torch

        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)
        self._buffers: list[Tensor | None] = [None, None]
        self._copied = [torch.cuda.Event(), torch.cuda.Event()]
        self._turn = 0

    def __call__(self, windows: list[np.ndarray]) -> Tensor:
        """(B, C, z, y, x) on the GPU; the current stream waits for it."""
        import torch

        self._turn = 1 - self._turn
        copied = self._copied[self._turn]
        copied.synchronize()  # the batch before last has left this buffer
        buffer = self._buffer(len(windows), windows[0])
        np.stack(windows, out=buffer.numpy())
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            batch = buffer.to(self._device, non_blocking=True)
            copied.record(self._stream)
        computing.wait_event(copied)
        batch.record_stream(computing)  # else its memory could be given to the next copy while it is read
        return batch

    def _buffer(self, count: int, window: np.ndarray) -> Tensor:
        import torch

        kept = self._buffers[self._turn]
        if kept is None or len(kept) < count or tuple(kept.shape[1:]) != window.shape:
            kept = torch.empty((count, *window.shape), pin_memory=True)
            self._buffers[self._turn] = kept
        return kept[:count]
