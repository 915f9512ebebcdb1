"""Files to volumes. Every header is checked before memory is taken, and every byte before a volume is returned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.errors import FileError, GeometryError
from autoseg.geometry import Geometry
from autoseg.io.formats import format_of
from autoseg.io.storage import StoredVoxels, corner_tolerance_mm, empty, pieces
from autoseg.io.volume import Volume

LABEL_RANGE = np.iinfo(np.int16)

# Relative, and absolute below 1: what single precision leaves of a label that was scaled or resampled onto itself.
INTEGER_TOLERANCE = 1e-5


def read_geometry(path: Path | str) -> Geometry:
    """The grid of a file from its header, which is checked against the size of the data; voxels are not read."""
    return _header(path).geometry


def read_image(paths: Sequence[Path | str], *, compact: bool = False) -> Volume:
    """Read one file per channel: (C, Z, Y, X) float32, all on the grid of the first.

    compact: keep the type where the files hold whole numbers of at most 16 bits, as CT do, see compact_dtype. NaN and
    infinity arrive as they are stored. FileError, GeometryError or ResourceError name the file.
    """
    headers = [_header(path) for path in paths]
    if not headers:
        raise ValueError("read_image needs at least one file")
    for header in headers:
        _check_three_dimensions(header)
        _check_same_grid(header, headers[0])
    dtype = _compact(headers) if compact else np.dtype(np.float32)
    array = empty(headers[0].path, (len(headers), *headers[0].geometry.shape), dtype)
    for channel, header in zip(array, headers, strict=True):
        _read_intensities(header, channel)
    return Volume(array, headers[0].geometry)


def read_channels(path: Path | str, *, compact: bool = False) -> Volume:
    """Read a file of four dimensions as channels, the fourth dimension: (C, Z, Y, X) float32; C is 1 for three.

    compact: see read_image.
    """
    header = _header(path)
    dtype = _compact([header]) if compact else np.dtype(np.float32)
    array = empty(header.path, header.shape if len(header.shape) == 4 else (1, *header.shape), dtype)
    _read_intensities(header, array)
    return Volume(array, header.geometry)


def compact_dtype(paths: Sequence[Path | str]) -> np.dtype:
    """The type in which read_image(paths, compact=True) holds voxels, from the headers alone."""
    return _compact([_header(path) for path in paths])


def read_labels(path: Path | str) -> Volume:
    """Read a label file: (Z, Y, X) int16.

    Whole numbers stored as floats, or scaled, are accepted; other numbers, NaN, infinity, and values outside int16 are
    a FileError that names the first such voxel.
    """
    header = _header(path)
    _check_three_dimensions(header)
    array = empty(header.path, header.shape, np.int16)
    flat = array.reshape(-1)
    for first, piece in pieces(header):
        exact = piece.dtype.kind in "iu" and not header.scaled
        values = piece if exact else _whole_numbers(header, piece, first)
        outside = (values < LABEL_RANGE.min) | (values > LABEL_RANGE.max)
        if outside.any():
            raise _bad_label(header, first + int(outside.argmax()), values[outside.argmax()], "does not fit int16")
        flat[first : first + len(piece)] = values
    return Volume(array, header.geometry)


def _compact(headers: Sequence[StoredVoxels]) -> np.dtype:
    """The common type of unscaled integers, where that has at most 16 bits; else float32."""
    common = np.result_type(*(header.dtype for header in headers)).newbyteorder("=")
    exact = common.kind in "iu" and common.itemsize <= 2 and not any(header.scaled for header in headers)
    return common if exact else np.dtype(np.float32)


def _header(path: Path | str) -> StoredVoxels:
    path = Path(path)
    header: StoredVoxels = format_of(path).read_header(path)
    return header


def _check_three_dimensions(header: StoredVoxels) -> None:
    if len(header.shape) != 3:
        fact = f"holds {header.shape[0]} volumes of {' x '.join(map(str, header.shape[1:]))} voxels (z, y, x), not one."
        raise FileError(header.path, fact, "Split it into one file per channel; autoseg_convert msd does that.")


def _check_same_grid(header: StoredVoxels, first: StoredVoxels) -> None:
    grid, other = header.geometry, first.geometry
    if grid.matches(other, corner_tolerance_mm(other.spacing_mm)):
        return
    if grid.shape != other.shape:
        difference = f"{grid.shape} against {other.shape} voxels (z, y, x)"
    else:
        difference = f"corners lie {grid.corner_distance_mm(other):.4g} mm apart"
    raise GeometryError(
        f"{header.path}: lies on another grid than {first.path} ({difference}).",
        "Resample the channels of a case onto one grid.",
    )


def _read_intensities(header: StoredVoxels, array: np.ndarray) -> None:
    flat = array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        for first, piece in pieces(header):
            flat[first : first + len(piece)] = _scaled(header, piece) if header.scaled else piece


def _scaled(header: StoredVoxels, piece: np.ndarray) -> np.ndarray:
    return piece.astype(np.float64) * header.slope + header.intercept


def _whole_numbers(header: StoredVoxels, piece: np.ndarray, first: int) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        values = _scaled(header, piece)
        nearest = np.rint(values)
        wrong = ~(np.abs(values - nearest) <= INTEGER_TOLERANCE * np.maximum(1, np.abs(nearest)))
    if wrong.any():
        raise _bad_label(header, first + int(wrong.argmax()), values[wrong.argmax()], "is not a whole number")
    return nearest


def _bad_label(header: StoredVoxels, index: int, value: float, rule: str) -> FileError:
    voxel = tuple(int(i) for i in np.unravel_index(index, header.shape))
    return FileError(
        header.path, f"the label at voxel {voxel} (z, y, x) is {value:g}, which {rule}.", "Round or correct the labels."
    )
