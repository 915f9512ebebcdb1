"""Sums of logits, held only for the planes that windows still touch: in memory, or in a temporary file.

Plane z lies in place z modulo the number of places, so that nothing is moved when windows go on. In a file the classes
lie one after the other, and only one of them is mapped into memory at a time: what the process holds does not grow
with their number. The sums are the same float32 numbers in both.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import psutil
import torch
from torch import Tensor

from autoseg.errors import ResourceError

Shape4 = tuple[int, int, int, int]
IN_MEMORY = ("tmpfs", "ramfs")
FLOAT_BYTES = 4
ZEROS_AT_ONCE = 1 << 24


class Places(Protocol):
    """Where the sums are."""

    classes: int

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Every class once, in blocks that are held one after the other: (classes, tensor (k, places, y, x))."""

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """A part (places, y, x) of one class; a view, or a copy."""


@final
class PlacesInMemory:
    """Places on a device, or in main memory where the device is too small."""

    def __init__(self, shape: Shape4, device: str) -> None:
        self.classes = shape[0]
        try:
            self._sums = torch.zeros(shape, device=device)
        except torch.OutOfMemoryError:
            self._sums = torch.zeros(shape)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """See Places."""
        yield slice(None), self._sums

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """See Places."""
        return self._sums[index][part].cpu().numpy()


@final
class PlacesInFile:
    """Places in a file without a name, which is gone with the process.

    Raises ResourceError where there is no room for it, or where temporary files lie in memory.
    """

    def __init__(self, shape: Shape4) -> None:
        self.classes = shape[0]
        self._shape = shape
        self._bytes_per_class = FLOAT_BYTES * math.prod(shape[1:])
        folder = Path(tempfile.gettempdir())
        _check_room(folder, shape[0] * self._bytes_per_class)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the places
        weakref.finalize(self, self._file.close)
        _fill_with_zeros(self._file, shape[0] * self._bytes_per_class, folder)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """See Places."""
        for index in range(self._shape[0]):
            yield slice(index, index + 1), torch.from_numpy(self._mapped(index))[None]

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """See Places."""
        return np.array(self._mapped(index)[part])

    def _mapped(self, index: int) -> np.ndarray:
        """One class, mapped for as long as the array lives."""
        place = index * self._bytes_per_class
        mapped = np.memmap(self._file, np.float32, "r+", offset=place, shape=self._shape[1:])
        return np.asarray(mapped)


@final
class OpenPlanes:
    """Sums of weighted logits (K, z, y, x), of which planes `first` to `first + depth` exist.

    depth: how many planes may be open at once. inside: where the image lies on the grid of the windows; reading counts
    from there. finished: planes before it get no more windows; they stay until they are released.
    """

    def __init__(self, places: Places, depth: int, inside: tuple[slice, ...]) -> None:
        self.first = 0
        self.finished = 0
        self.inside = inside
        self._depth = depth
        self._places = places

    def __len__(self) -> int:
        """K."""
        return self._places.classes

    def __getitem__(self, index: int) -> _Class:
        """One class, to be indexed by three slices, counted from the image's first voxel."""
        return _Class(self, index)

    def add(self, window: Tensor, where: tuple[slice, ...], weights: Tensor | None) -> None:
        """Add a window (K, z, y, x) times weights (broadcastable to z, y, x); with None it replaces what was there."""
        for classes, sums in self._places.blocks():
            part = window[classes].to(sums.device).float()
            for planes, places in self._pieces(where[0]):
                target = sums[(slice(None), places, *where[1:])]
                if weights is None:
                    target.copy_(part[:, planes])
                else:
                    target.addcmul_(part[:, planes], _planes_of(weights, planes).to(sums.device))

    def release(self, first: int) -> None:
        """Forget the planes before `first`: their places are free for later ones."""
        freed = list(self._pieces(slice(self.first, max(first, self.first))))
        for _, sums in self._places.blocks() if freed else ():
            for _, places in freed:
                sums[:, places] = 0
        self.first = max(first, self.first)

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """A part of one class, float32, counted from the image's first voxel."""
        z, y, x = (
            slice(a.start + whole.start, a.stop + whole.start) for a, whole in zip(part, self.inside, strict=True)
        )
        pieces = [self._places.read(index, (places, y, x)) for _, places in self._pieces(z)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _pieces(self, planes: slice) -> Iterator[tuple[slice, slice]]:
        """Open planes as runs of neighbouring places: (counted from the first of them, places)."""
        assert planes.stop - self.first <= self._depth
        done = planes.start
        while done < planes.stop:
            place = done % self._depth
            count = min(planes.stop - done, self._depth - place)
            yield slice(done - planes.start, done - planes.start + count), slice(place, place + count)
            done += count


@final
class _Class:
    """One class of open planes."""

    def __init__(self, planes: OpenPlanes, index: int) -> None:
        self._planes = planes
        self._index = index

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x) of the image."""
        return tuple(axis.stop - axis.start for axis in self._planes.inside)

    def __getitem__(self, part: Any) -> np.ndarray:
        return self._planes.read(self._index, part)


def _planes_of(weights: Tensor, planes: slice) -> Tensor:
    return weights[planes] if len(weights) > 1 else weights


def _check_room(folder: Path, needed: int) -> None:
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
