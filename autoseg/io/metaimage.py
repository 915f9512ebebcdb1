"""MetaImage files, .mha and .mhd: our check of header against data, SimpleITK's understanding of the grid."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np

from autoseg.errors import FileError, GeometryError
from autoseg.geometry import Geometry
from autoseg.io import itk, streams
from autoseg.io.storage import StoredVoxels, array_shape, check_size

FIELD = re.compile(r"\s*(\w+)\s*[=:]\s*(.*)")

# MetaIO counts 4 bytes for its LONG on every platform.
TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


def read_header(path: Path) -> StoredVoxels:
    """What the header says, checked, with the size of the data; the voxels are not read."""
    fields, end = _parse(path)
    _refuse_unsupported(path, fields)
    dimensions = int(_numbers(path, fields, ("NDims",), 1)[0])
    file_shape = tuple(int(n) for n in _numbers(path, fields, ("DimSize",), dimensions))
    shape = array_shape(path, file_shape)
    _check_grid(path, fields, dimensions)
    dtype = _dtype(path, fields)
    size = math.prod(shape) * dtype.itemsize
    compressed = _is_true(fields, "CompressedData")
    data_path, start = _data(path, fields, end, None if compressed else size)
    _check_compressed_size(path, fields, streams.file_size(data_path) - start)
    check_size(path, data_path, start=start, needed=size, compressed=compressed)
    geometry = itk.read_geometry(path, file_shape, "MetaImageIO")
    return StoredVoxels(path, data_path, compressed, start, 0, shape, dtype, geometry)


def write(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Write compressed and check that it is whole. array: (Z, Y, X) or (C, Z, Y, X).

    .mha is one file and replaced at once. The voxels of NAME.mhd lie in NAME.zraw; its header comes last.
    """
    with itk.whole_file(path) as temporary:
        data = temporary.with_suffix(".zraw")
        try:
            itk.write_file(temporary, array, geometry)
            itk.check_written(read_header(temporary))
            if data.exists():
                _move_data(data, path, temporary)
        finally:
            data.unlink(missing_ok=True)


def _move_data(data: Path, path: Path, temporary: Path) -> None:
    target = path.with_suffix(".zraw")
    text = temporary.read_bytes()
    temporary.write_bytes(text.replace(data.name.encode(), target.name.encode()))
    path.unlink(missing_ok=True)
    with open(data, "rb+") as handle:
        os.fsync(handle.fileno())
    os.replace(data, target)


def _parse(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header and the byte at which it ends, which is behind the line ElementDataFile."""
    streams.file_size(path)
    fields: dict[str, str] = {}
    end = 0
    for line, end in streams.header_lines(path):  # noqa: B007
        if match := FIELD.match(line.decode("latin-1")):
            fields[match[1]] = match[2].strip()
        if "ElementDataFile" in fields:
            break
    for key in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if not fields.get(key):
            raise FileError(path, f"is not a MetaImage: its header has no {key}.", "Is the file ending right?")
    return fields, end


def _refuse_unsupported(path: Path, fields: dict[str, str]) -> None:
    data_file = fields["ElementDataFile"]
    if data_file.startswith("LIST") or "%" in data_file:
        fact = "spreads its slices over several files, which is not supported."
    elif fields.get("BinaryData", "True")[:1] not in "tT1":
        fact = "stores its voxels as text, which is not supported."
    elif fields.get("ElementNumberOfChannels", "1") != "1":
        fact = f"holds {fields['ElementNumberOfChannels']} values per voxel (RGB, or a vector); a volume has one."
    elif _is_scaled(path, fields):
        fact = (
            "asks for intensity scaling (ElementToIntensityFunctionSlope), which readers apply or ignore as they like."
        )
    elif fields.get("DistanceUnits", "mm") not in ("mm", "?"):
        fact = f"has its lengths in {fields['DistanceUnits']}, not in mm."
    else:
        return
    raise FileError(path, fact, "Export it as a plain, binary .mha with one value per voxel.")


def _is_scaled(path: Path, fields: dict[str, str]) -> bool:
    slope = _numbers(path, fields, ("ElementToIntensityFunctionSlope",), 1)
    offset = _numbers(path, fields, ("ElementToIntensityFunctionOffset",), 1)
    return slope not in ([], [1.0]) or offset not in ([], [0.0])


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype:
    name = fields["ElementType"]
    if name not in TYPES:
        known = ", ".join(TYPES)
        raise FileError(path, f"holds {name} voxels, which are not supported.", f"Store them as one of {known}.")
    big = _is_true(fields, "BinaryDataByteOrderMSB") or _is_true(fields, "ElementByteOrderMSB")
    return np.dtype((">" if big else "<") + TYPES[name])


def _data(path: Path, fields: dict[str, str], end: int, size: int | None) -> tuple[Path, int]:
    """The file with the data and the byte at which they start; size: in bytes, None where they are compressed."""
    name = fields["ElementDataFile"]
    data_path = path if name.upper() == "LOCAL" else path.parent / name
    if not data_path.is_file():
        raise FileError(path, f"has its voxels in {name}, which does not exist beside it.", "Copy both files together.")
    skip = int(_numbers(path, fields, ("HeaderSize",), 1)[0]) if "HeaderSize" in fields else 0
    if skip and (data_path == path or size is None or skip < -1):
        raise FileError(path, f"has the HeaderSize {skip}, which is not supported here.", "Export it as .mha.")
    if skip == -1 and size is not None:
        return data_path, max(0, streams.file_size(data_path) - size)
    return data_path, end if data_path == path else skip


def _check_compressed_size(path: Path, fields: dict[str, str], found: int) -> None:
    announced = int(_numbers(path, fields, ("CompressedDataSize",), 1)[0]) if "CompressedDataSize" in fields else 0
    if announced > found:
        fact = f"is cut off: its header announces {announced} bytes of compressed data, the file holds {found}."
        raise FileError(path, fact, streams.COPY_AGAIN)


def _check_grid(path: Path, fields: dict[str, str], dimensions: int) -> None:
    """Refuse what SimpleITK would turn into something else: too few, non-finite or non-positive numbers."""
    _numbers(path, fields, ("TransformMatrix", "Rotation", "Orientation"), dimensions**2)
    _numbers(path, fields, ("Offset", "Position", "Origin"), dimensions)
    spacing = _numbers(path, fields, ("ElementSpacing", "ElementSize"), dimensions)
    if spacing and min(spacing) <= 0:
        listed = " ".join(map(str, spacing))
        raise GeometryError(f"{path}: its spacing is {listed} mm; each must be positive.", "Correct the header.")


def _numbers(path: Path, fields: dict[str, str], names: tuple[str, ...], count: int) -> list[float]:
    """The finite numbers of the first of these fields that is there; empty where none is."""
    name = next((name for name in names if name in fields), None)
    if name is None:
        return []
    try:
        values = [float(text) for text in fields[name].split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        fact = f"{name} in its header must be {count} finite numbers, not {fields[name][:80]!r}."
        raise FileError(path, fact, "Correct the header.")
    return values


def _is_true(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "")[:1] in ("T", "t", "1")
