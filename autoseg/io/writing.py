"""Volumes to files: whole or not at all, on exactly the volume's grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.io.formats import format_of
from autoseg.io.volume import Volume


def write_labels(path: Path | str, volume: Volume) -> None:
    """Write (Z, Y, X) integers as uint8 where they fit, else as int16; the ending decides the format.

    Atomic; FileError where the file cannot be written whole. Arrays of another kind are a ValueError.
    """
    array = volume.array
    if array.ndim != 3 or array.dtype.kind not in "iub":
        raise ValueError(f"labels are (Z, Y, X) integers, not {array.dtype} {array.shape}")
    low, high = int(array.min()), int(array.max())
    if low < -(2**15) or high >= 2**15:
        raise ValueError(f"labels from {low} to {high} do not fit int16")
    dtype = np.uint8 if low >= 0 and high < 2**8 else np.int16
    _write(Path(path), volume, array.astype(dtype))


def write_image(path: Path | str, volume: Volume) -> None:
    """Write (Z, Y, X) or (C, Z, Y, X) as float32, several channels as a fourth dimension; as in write_labels."""
    array = volume.array[0] if volume.array.ndim == 4 and len(volume.array) == 1 else volume.array
    _write(Path(path), volume, np.asarray(array, dtype=np.float32))


def _write(path: Path, volume: Volume, array: np.ndarray) -> None:
    format_of(path).write(path, np.ascontiguousarray(array), volume.geometry)
