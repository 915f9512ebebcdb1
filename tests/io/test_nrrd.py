"""NRRD headers: what is read, what is refused, and SimpleITK as the oracle."""

from __future__ import annotations

import bz2
import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from autoseg.errors import AutosegError, FileError, GeometryError
from autoseg.io import read_channels, read_geometry, read_image, read_labels

RAMP = np.arange(24, dtype="<i2").reshape(4, 3, 2)
SOUND = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "2 3 4",
    "space directions": "(0,0.7,0) (-0.8,0,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10.5,-20.25,30)",
}
NO_SPACE = {"space": None, "space directions": None, "space origin": None}


def make(folder: Path, data: bytes = RAMP.tobytes(), changes: dict[str, Any] | None = None) -> Path:
    fields = {**SOUND, **(changes or {})}
    lines = [f"{key}: {value}\n" for key, value in fields.items() if value is not None]
    path = folder / "case.nrrd"
    path.write_bytes("".join(["NRRD0004\n# a comment\n", *lines, "key:=value\n", "\n"]).encode() + data)
    return path


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (RAMP.tobytes(), {}),
        (RAMP.astype(">i2").tobytes(), {"endian": "big"}),
        (RAMP.astype("u1").tobytes(), {"type": "unsigned char", "endian": None}),
        (RAMP.astype("<f8").tobytes(), {"type": "double"}),
        (RAMP.astype("<i8").tobytes(), {"type": "int64"}),
        (gzip.compress(RAMP.tobytes(), mtime=0), {"encoding": "gzip"}),
        (gzip.compress(RAMP.tobytes(), mtime=0), {"encoding": "gz"}),
        (b"1234" + RAMP.tobytes(), {"byte skip": "4"}),
        (b"1234" + RAMP.tobytes(), {"byte skip": "-1"}),
        (RAMP.tobytes(), {"space": "right-anterior-superior"}),
        (RAMP.tobytes(), {"space": "LAS"}),
        (RAMP.tobytes(), {"kinds": None, "space units": '"mm" "mm" "mm"'}),
        (RAMP.tobytes(), {**NO_SPACE, "spacings": "1 2 3"}),
        (RAMP.tobytes(), NO_SPACE),
    ],
)
def test_read_as_simpleitk_reads(tmp_path: Path, data: bytes, changes: dict[str, Any]) -> None:
    path = make(tmp_path, data, changes)
    found, oracle = read_labels(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(found.array, RAMP)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(oracle), RAMP)
    corner = np.array(oracle.TransformIndexToPhysicalPoint((1, 2, 3))) * (-1, -1, 1)
    np.testing.assert_allclose(found.geometry.corners_mm()[-1], corner, atol=1e-9)


@pytest.mark.parametrize("compressed", [False, True])
def test_data_in_a_file_beside(tmp_path: Path, compressed: bool) -> None:
    data = gzip.compress(RAMP.tobytes()) if compressed else RAMP.tobytes()
    (tmp_path / "case.raw").write_bytes(data)
    path = make(tmp_path, b"", {"data file": "case.raw", "encoding": "gzip" if compressed else "raw"})
    np.testing.assert_array_equal(read_labels(path).array, RAMP)
    (tmp_path / "case.raw").write_bytes(data[:-12])
    with pytest.raises(FileError, match=r"case\.nrrd: is cut off|case\.raw: is cut off"):
        read_labels(path)


def test_four_dimensions_are_channels(tmp_path: Path) -> None:
    changes = {**NO_SPACE, "dimension": "4", "sizes": "2 3 2 2", "kinds": None, "spacings": "1 2 3 1"}
    found = read_channels(make(tmp_path, changes=changes))
    np.testing.assert_array_equal(found.array, RAMP.reshape(2, 2, 3, 2))
    assert found.geometry.spacing_mm == (3, 2, 1)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"type": None}, "no 'type'"),
        ({"sizes": None}, "no 'sizes'"),
        ({"encoding": None}, "no 'encoding'"),
        ({"sizes": "2 3"}, "dimension 3 but the sizes '2 3'"),
        ({"sizes": "2 3 x"}, "sizes '2 3 x'"),
        ({"sizes": "2 3 -4"}, "dimensions (2, 3, -4)"),
        ({"sizes": "2 3 5"}, "announces 60 bytes of data, the file holds 48"),
        ({"sizes": "99999 99999 99999"}, "the file holds 48 bytes"),
        ({"type": "block"}, "type 'block'"),
        ({"type": "float"}, "announces 96 bytes"),
        ({"endian": None}, "little or big endian"),
        ({"encoding": "ascii"}, "encoded as ascii"),
        ({"encoding": "bzip2"}, "encoded as bzip2"),
        ({"encoding": "gzip"}, "damaged compressed stream"),
        ({"encoding": "gzip", "byte skip": "3"}, "skip lines or bytes"),
        ({"line skip": "1"}, "skip lines or bytes"),
        ({"byte skip": "x"}, "byte skip 'x'"),
        ({"byte skip": "1"}, "the file holds 47 bytes"),
        ({"data file": "other.raw"}, "voxels in other.raw, which does not exist beside it"),
        ({"data file": "LIST"}, "several files"),
        ({"data file": "slice%03d.raw 1 4 1"}, "several files"),
        ({"space units": '"cm" "cm" "cm"'}, "in cm, not in mm"),
        ({"space origin": "(nan,0,0)"}, "cannot be understood by SimpleITK"),
        (
            {"kinds": "2-vector domain domain", "space directions": None, "space": None, "space origin": None},
            "values per",
        ),
    ],
)
def test_headers_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], fact: str) -> None:
    path = make(tmp_path, changes=changes)
    with pytest.raises(FileError, match=f"^{re.escape(str(path))}: .*{re.escape(fact)}") as caught:
        read_image([path])
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("directions", "fact"),
    [
        ("(0,0,0) (0,1,0) (0,0,1)", "spacing is 0, 1, 1 mm"),
        ("(nan,0,0) (0,1,0) (0,0,1)", "finite numbers"),
        ("(inf,0,0) (0,1,0) (0,0,1)", "finite numbers"),
        ("(1,0,0) (1,0,0) (0,0,1)", "sheared or singular"),
        ("(1,0,0) (.5,1,0) (0,0,1)", "sheared"),
    ],
)
def test_grids_that_cannot_be_used(tmp_path: Path, directions: str, fact: str) -> None:
    path = make(tmp_path, changes={"space directions": directions})
    with pytest.raises(GeometryError, match=f"^{re.escape(str(path))}: .*{re.escape(fact)}"):
        read_geometry(path)


def test_truncated_gzip_which_simpleitk_accepts(tmp_path: Path) -> None:
    content = gzip.compress(RAMP.tobytes())
    path = make(tmp_path, content[:-9], {"encoding": "gzip"})
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), RAMP)
    with pytest.raises(FileError, match=r"case\.nrrd: is cut off"):
        read_image([path])


def test_a_wrong_gzip_checksum(tmp_path: Path) -> None:
    content = gzip.compress(RAMP.tobytes())
    path = make(tmp_path, content[:-8] + b"abcd" + content[-4:], {"encoding": "gzip"})
    with pytest.raises(FileError, match="incorrect data check"):
        read_image([path])


def test_simpleitk_cannot_read_bzip2_either(tmp_path: Path) -> None:
    path = make(tmp_path, bz2.compress(RAMP.tobytes()), {"encoding": "bzip2"})
    with pytest.raises(RuntimeError, match="bzip2 encoding not available"):
        sitk.ReadImage(str(path))


def test_any_line_may_be_missing_or_wrong(tmp_path: Path) -> None:
    path = make(tmp_path)
    lines = path.read_bytes()[: -RAMP.nbytes].splitlines(keepends=True)
    for i, line in enumerate(lines):
        key = line.split(b":")[0]
        for new in (
            b"",
            key + b": \n",
            key + b": -1\n",
            key + b": 1e999\n",
            key + b": (9) (9) (9)\n",
            b"\xff\n",
            b"\n",
        ):
            path.write_bytes(b"".join([*lines[:i], new, *lines[i + 1 :]]) + RAMP.tobytes())
            try:
                read_image([path])
            except AutosegError as error:
                assert str(path) in str(error)  # noqa: PT017
