"""Where sums of logits are: on a GPU, in memory, or in a temporary file. They are the same float32 numbers everywhere.

In a file the classes lie one after the other, and only one of them is mapped into memory at a time: what the process
holds does not grow with their number.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import psutil

from autoseg.errors import ResourceError
from autoseg.inference.arrays import Array, on_host
from autoseg.memory import is_out_of_memory

Shape4 = tuple[int, int, int, int]
IN_MEMORY = ("tmpfs", "ramfs")
FLOAT_BYTES = 4
ZEROS_AT_ONCE = 1 << 24


class Places(Protocol):
    """Where the sums are."""

    classes: int

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Every class once, in blocks that are held one after the other: (classes, array (k, places, y, x))."""

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """A part (places, y, x) of one class; a view, or a copy."""

    def leave_gpu(self) -> bool:
        """Move to the host; False where nothing is on a GPU."""


def places_on(device: str, shape: Shape4, *, in_file: bool) -> Places:
    """Zeros for (classes, places, y, x) on a torch device; in_file: what is on the host lies in a temporary file."""

    def on_host() -> Places:
        return PlacesInFile(shape) if in_file else PlacesInMemory(shape)

    return on_host() if device == "cpu" else PlacesOnGpu(shape, device, on_host)


class PlacesInMemory:
    """Places in main memory."""

    def __init__(self, shape: Shape4) -> None:
        self.classes = shape[0]
        self._sums: Array = self._zeros(shape)

    def _zeros(self, shape: Shape4) -> Array:
        return np.zeros(shape, dtype=np.float32)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """See Places."""
        yield slice(None), self._sums

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """See Places."""
        return on_host(self._sums[index][part])

    def leave_gpu(self) -> bool:
        """See Places."""
        return False


@final
class _PlacesOnDevice(PlacesInMemory):
    """Places in the memory of a torch device; out-of-memory errors are its own."""

    def __init__(self, shape: Shape4, device: str) -> None:
        self._device = device
        super().__init__(shape)

    def _zeros(self, shape: Shape4) -> Array:
        import torch

        return torch.zeros(shape, device=self._device)


@final
class PlacesOnGpu:
    """Places on a GPU for as long as it has room for them, then where make_host makes them."""

    def __init__(self, shape: Shape4, device: str, make_host: Callable[[], Places]) -> None:
        self.classes = shape[0]
        self._make_host = make_host
        self._is_on_gpu = True
        self._places: Places
        try:
            self._places = _PlacesOnDevice(shape, device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._is_on_gpu = False
        if not self._is_on_gpu:
            self._places = make_host()

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """See Places."""
        return self._places.blocks()

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """See Places; the GPU gathers what is copied, for which it may have no room either."""
        try:
            return self._places.read(index, part)
        except RuntimeError as error:
            if not is_out_of_memory(error) or not self.leave_gpu():
                raise
        return self._places.read(index, part)

    def leave_gpu(self) -> bool:
        """See Places."""
        if not self._is_on_gpu:
            return False
        host = self._make_host()
        (_, sums), *_ = self._places.blocks()
        for classes, block in host.blocks():
            for own, theirs in zip(block, sums[classes], strict=True):  # a copy of all at once would take their memory
                own[...] = on_host(theirs)
        self._places, self._is_on_gpu = host, False
        return True


@final
class PlacesInFile:
    """Places in a file without a name, which is gone with the process.

    Raises ResourceError where there is no room for it, or where temporary files lie in memory.
    """

    def __init__(self, shape: Shape4) -> None:
        self.classes = shape[0]
        self._shape = shape
        self._bytes_per_class = FLOAT_BYTES * math.prod(shape[1:])
        folder = check_room(shape[0] * self._bytes_per_class)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the places
        weakref.finalize(self, self._file.close)
        _fill_with_zeros(self._file, shape[0] * self._bytes_per_class, folder)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """See Places."""
        for index in range(self._shape[0]):
            yield slice(index, index + 1), self._mapped(index)[None]

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """See Places."""
        return np.array(self._mapped(index)[part])

    def leave_gpu(self) -> bool:
        """See Places."""
        return False

    def _mapped(self, index: int) -> np.ndarray:
        """One class, mapped for as long as the array lives."""
        place = index * self._bytes_per_class
        mapped = np.memmap(self._file, np.float32, "r+", offset=place, shape=self._shape[1:])
        return np.asarray(mapped)


def check_room(needed: int) -> Path:
    """The folder of temporary files, which has room for so many bytes; ResourceError where it does not."""
    folder = Path(tempfile.gettempdir())
    kind = max(
        (disk for disk in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(disk.mountpoint)),
        key=lambda disk: len(disk.mountpoint),
        default=None,
    )
    fact = ""
    if kind is not None and kind.fstype in IN_MEMORY:
        fact = "lies in memory itself"
    elif shutil.disk_usage(folder).free < needed:
        fact = f"has {shutil.disk_usage(folder).free / 2**30:.1f} GiB free"
    if fact:
        raise ResourceError(
            f"Logits need a temporary file of {needed / 2**30:.1f} GiB, but {folder} {fact}.",
            "Set TMPDIR to a folder on a disk with room, or give more --memory.",
        )
    return folder


def _fill_with_zeros(file: Any, size: int, folder: Path) -> None:
    """Take the room now: a mapped file for which the disk is full would kill the process later."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        for done in range(0, size, ZEROS_AT_ONCE):
            file.write(bytes(min(ZEROS_AT_ONCE, size - done)))
        file.flush()
    except OSError as error:
        raise ResourceError(
            f"A temporary file of {size / 2**30:.1f} GiB cannot be made in {folder} ({error.strerror}).",
            "Set TMPDIR to a folder on a disk with room, or give more --memory.",
        ) from error
