"""What a header says about the voxels of a file, and reading them in pieces of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import FileError, GeometryError, ResourceError
from autoseg.geometry import Geometry
from autoseg.io import streams
from autoseg.memory import available_memory_bytes

PIECE = 1 << 20
Shape = tuple[int, ...]


@dataclass(frozen=True)
class StoredVoxels:
    """Where the voxels of a file are and what they mean.

    path: the file that the user named. data_path: the file with the bytes (another one for a detached header). start:
    bytes of that file before the data or before the compressed stream. skip: bytes of the stream before the voxels.
    shape: (Z, Y, X), or (C, Z, Y, X) for a file of four dimensions. dtype: with its byte order; integers or floats.
    slope, intercept: what a voxel means is stored * slope + intercept.
    """

    path: Path
    data_path: Path
    compressed: bool
    start: int
    skip: int
    shape: Shape
    dtype: np.dtype
    geometry: Geometry
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def count(self) -> int:
        """Voxels times channels."""
        return math.prod(self.shape)

    @property
    def scaled(self) -> bool:
        """Whether slope and intercept change anything."""
        return (self.slope, self.intercept) != (1.0, 0.0)


def check_size(path: Path, data_path: Path, *, start: int, needed: int, compressed: bool) -> None:
    """Refuse a file that cannot hold the `needed` bytes behind `start`, without reading it into memory.

    Uncompressed data are measured by the size of the file. A compressed stream holds at most 1032 times its size; where
    a gzip file's last four bytes do not announce the length that is needed (it is cut off, or made of several members),
    it is decompressed once in blocks and counted.
    """
    size = streams.file_size(data_path) - start
    most = size * streams.LARGEST_RATIO if compressed else size
    if most < needed:
        raise _cut_off(path, needed, f"{size} bytes" + (", compressed" if compressed else ""))
    if not compressed or not streams.is_gzip(data_path, start):
        return
    if streams.announced_size(data_path) != needed % 2**32:
        found = streams.Taps(streams.blocks(data_path, start=start, compressed=True)).skip(needed)
        if found < needed:
            raise _cut_off(path, needed, f"{found} bytes")


def empty(path: Path, shape: Shape, dtype: np.dtype | type) -> np.ndarray:
    """A new array; ResourceError where it is larger than the memory that is free."""
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    free = available_memory_bytes()
    try:
        if needed > free:
            raise MemoryError
        return np.empty(shape, dtype)
    except MemoryError as error:
        raise ResourceError(
            f"{path}: {' x '.join(map(str, shape))} voxels need {needed / 2**30:.1f} GiB of memory; "
            f"{free / 2**30:.1f} GiB are free.",
            "Crop the volume, or use a machine with more memory.",
        ) from error


def pieces(stored: StoredVoxels) -> Iterator[tuple[int, np.ndarray]]:
    """The voxels as they are stored, in the file's order: (index of the first, values).

    Each array holds at most 2^20 values and is overwritten by the next. The stream is read to its end, so that a wrong
    checksum is noticed. FileError where the data end early.
    """
    taps = streams.Taps(streams.blocks(stored.data_path, start=stored.start, compressed=stored.compressed))
    found = taps.skip(stored.skip)
    buffer = np.empty(min(stored.count, PIECE), stored.dtype)
    for first in range(0, stored.count, PIECE):
        piece = buffer[: stored.count - first]
        found += taps.fill(piece.view(np.uint8))
        if found < stored.skip + (first + len(piece)) * stored.dtype.itemsize:
            raise _cut_off(stored.path, stored.skip + stored.count * stored.dtype.itemsize, f"{found} bytes")
        yield first, piece
    if stored.compressed:
        taps.drain()


def _cut_off(path: Path, needed: int, found: str) -> FileError:
    fact = f"is cut off, or its header is wrong: the header announces {needed} bytes of data, the file holds {found}."
    return FileError(path, fact, streams.COPY_AGAIN)


def array_shape(path: Path, file_shape: Shape) -> Shape:
    """Turn a file's dimensions, fastest first, into (Z, Y, X) or (C, Z, Y, X).

    Trailing dimensions of one are left out, missing ones are ones: (X, Y) becomes (1, Y, X). Any other number of
    dimensions is a FileError.
    """
    if not file_shape or min(file_shape) < 1:
        raise FileError(path, f"has the dimensions {file_shape}; each must be at least 1.", streams.COPY_AGAIN)
    shape = list(file_shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) < 2 or len(shape) > 4:
        fact = f"has {len(shape)} dimensions, {' x '.join(map(str, file_shape))}; a volume has three."
        raise FileError(path, fact, "Write each volume in it to a file of its own.")
    return tuple(reversed(shape + [1] * (3 - len(shape))))


def make_geometry(path: Path, shape: Shape, affine: np.ndarray) -> Geometry:
    """Geometry.from_affine with the path in its errors. shape: (Z, Y, X) or (C, Z, Y, X)."""
    try:
        return Geometry.from_affine((shape[-3], shape[-2], shape[-1]), affine)
    except GeometryError as error:
        remedy = error.remedy or "Correct the header, or export the volume again."
        raise GeometryError(f"{path}: {error.fact}", remedy) from error


def corner_tolerance_mm(spacing_mm: tuple[float, ...]) -> float:
    """How far two statements about a corner voxel may differ and still mean the same: a quarter of the smallest voxel.

    At least 0.01 mm. Tighter would refuse sound files: a NIfTI quaternion in single precision can be wrong by 3e-4
    radians near a half turn, which is 0.15 mm over 450 mm.
    """
    return max(1e-2, 0.25 * min(spacing_mm))
