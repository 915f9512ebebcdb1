"""NRRD files: our check of header against data, SimpleITK's understanding of the grid."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from autoseg.errors import FileError, GeometryError
from autoseg.geometry import Geometry
from autoseg.io import itk, streams
from autoseg.io.storage import StoredVoxels, array_shape, check_size

MAGIC = re.compile(rb"NRRD000[1-5]\s*$")
FIELD = re.compile(r"([^:]+):[ \t]*([^=].*)")
EXPORT_AGAIN = "Save it again as a plain .nrrd with raw or gzip encoding and one value per voxel."

NAMES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
TYPES = {name: code for code, names in NAMES.items() for name in names}


def read_header(path: Path) -> StoredVoxels:
    """What the header says, checked, with the size of the data; the voxels are not read."""
    fields, end = _parse(path)
    _refuse_unsupported(path, fields)
    file_shape = _sizes(path, fields)
    shape = array_shape(path, file_shape)
    _check_spacing(path, fields)
    dtype = _dtype(path, fields)
    size = math.prod(shape) * dtype.itemsize
    compressed = fields["encoding"].lower() in ("gzip", "gz")
    data_path, start = _data(path, fields, end, size)
    check_size(path, data_path, start=start, needed=size, compressed=compressed)
    geometry = itk.read_geometry(path, file_shape, "NrrdImageIO")
    return StoredVoxels(path, data_path, compressed, start, 0, shape, dtype, geometry)


def write(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Write atomically, compressed, and check that it is whole. array: (Z, Y, X) or (C, Z, Y, X)."""
    with itk.whole_file(path) as temporary:
        itk.write_file(temporary, array, geometry)
        itk.check_written(read_header(temporary))


def _parse(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header, names in lower case without spaces, and the byte behind the empty line that ends it."""
    streams.file_size(path)
    fields: dict[str, str] = {}
    lines = streams.header_lines(path)
    magic, end = next(lines, (b"", 0))
    if not MAGIC.match(magic):
        fact = f"is not an NRRD file of version 1 to 5: it begins with {magic[:12]!r}."
        raise FileError(path, fact, "Is the file ending right?")
    for line, end in lines:  # noqa: B007
        if not line.strip():
            break
        text = line.decode("latin-1").strip()
        if not text.startswith("#") and (match := FIELD.match(text)):
            fields[match[1].lower().replace(" ", "")] = match[2].strip()
    for key in ("type", "dimension", "sizes", "encoding"):
        if key not in fields:
            raise FileError(path, f"has no {key!r} in its header.", EXPORT_AGAIN)
    return fields, end


def _refuse_unsupported(path: Path, fields: dict[str, str]) -> None:
    data_file = fields.get("datafile", "")
    encoding = fields["encoding"].lower()
    units = set(re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))) - {"mm", ""}
    if encoding not in ("raw", "gzip", "gz"):
        fact = f"is encoded as {encoding}, which is not supported."
    elif data_file.startswith("LIST") or re.search(r"%\d*d", data_file):
        fact = "spreads its slices over several files, which is not supported."
    elif fields.get("lineskip", "0") != "0" or (fields.get("byteskip", "0") != "0" and encoding != "raw"):
        fact = "asks to skip lines or bytes of its data, which is not supported here."
    elif units:
        fact = f"has its lengths in {', '.join(sorted(units))}, not in mm."
    else:
        return
    raise FileError(path, fact, EXPORT_AGAIN)


def _sizes(path: Path, fields: dict[str, str]) -> tuple[int, ...]:
    try:
        sizes = tuple(int(text) for text in fields["sizes"].split())
    except ValueError:
        sizes = ()
    if str(len(sizes)) != fields["dimension"]:
        fact = f"has the dimension {fields['dimension']} but the sizes {fields['sizes'][:80]!r}."
        raise FileError(path, fact, streams.COPY_AGAIN)
    return sizes


def _check_spacing(path: Path, fields: dict[str, str]) -> None:
    vectors = re.findall(r"\(([^)]*)\)", fields.get("spacedirections", ""))
    texts = [*fields.get("spacings", "").split(), *(text for vector in vectors for text in vector.split(","))]
    try:
        finite = all(math.isfinite(float(text)) for text in texts)
    except ValueError:
        finite = False
    if not finite:
        raise GeometryError(f"{path}: its spacing holds something else than finite numbers.", "Correct the header.")
    lengths = [math.hypot(*map(float, vector.split(","))) for vector in vectors]
    lengths += [float(text) for text in fields.get("spacings", "").split()]
    if lengths and min(lengths) <= 0:
        listed = ", ".join(f"{length:.5g}" for length in lengths)
        raise GeometryError(f"{path}: its spacing is {listed} mm; each must be positive.", "Correct the header.")


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype:
    code = TYPES.get(fields["type"].lower())
    endian = fields.get("endian", "").lower()
    if code is None:
        raise FileError(path, f"holds voxels of the type {fields['type']!r}, not numbers.", EXPORT_AGAIN)
    if code[1] != "1" and endian not in ("little", "big"):
        raise FileError(path, f"must say whether it is little or big endian, not {endian!r}.", EXPORT_AGAIN)
    return np.dtype((">" if endian == "big" else "<") + code)


def _data(path: Path, fields: dict[str, str], end: int, size: int) -> tuple[Path, int]:
    """The file with the data and the byte at which they, or their compressed stream, start; size: in bytes."""
    name = fields.get("datafile")
    data_path = path if name is None else path.parent / name
    if not data_path.is_file():
        raise FileError(path, f"has its voxels in {name}, which does not exist beside it.", "Copy both files together.")
    try:
        skip = int(fields.get("byteskip", "0"))
    except ValueError:
        skip = -2
    if skip < -1:
        raise FileError(path, f"has the byte skip {fields['byteskip']!r}, which is no number of bytes.", EXPORT_AGAIN)
    if skip == -1:
        return data_path, max(0, streams.file_size(data_path) - size)
    return data_path, skip + (end if name is None else 0)
