"""MetaImage headers: what is read, what is refused, and SimpleITK as the oracle."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from autoseg.errors import AutosegError, FileError, GeometryError
from autoseg.io import read_geometry, read_image, read_labels

RAMP = np.arange(24, dtype="<i2").reshape(4, 3, 2)
SOUND = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "0 1 0 0 0 -1 1 0 0",
    "Offset": "10.5 -20.25 30",
    "ElementSpacing": "0.7 0.8 2.5",
    "DimSize": "2 3 4",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def header(**changes: str | None) -> bytes:
    """The header with some fields changed, or left out where None; ElementDataFile stays last."""
    fields = {**SOUND, **changes}
    last = fields.pop("ElementDataFile")
    lines = [f"{key} = {value}\n" for key, value in fields.items() if value is not None]
    return "".join([*lines, f"ElementDataFile = {last}\n"]).encode("latin-1")


def make(folder: Path, data: bytes = RAMP.tobytes(), name: str = "case.mha", **changes: Any) -> Path:
    path = folder / name
    path.write_bytes(header(**changes) + data)
    return path


DEFLATED = zlib.compress(RAMP.tobytes())


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (RAMP.tobytes(), {}),
        (RAMP.astype(">i2").tobytes(), {"BinaryDataByteOrderMSB": "True"}),
        (RAMP.astype(">i2").tobytes(), {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "True"}),
        (RAMP.astype("<i4").tobytes(), {"ElementType": "MET_LONG"}),
        (RAMP.astype("<i8").tobytes(), {"ElementType": "MET_LONG_LONG"}),
        (RAMP.astype("<f8").tobytes(), {"ElementType": "MET_DOUBLE"}),
        (RAMP.astype("i1").tobytes(), {"ElementType": "MET_CHAR"}),
        (DEFLATED, {"CompressedData": "True", "CompressedDataSize": str(len(DEFLATED))}),
        (RAMP.tobytes(), {"TransformMatrix": None, "Orientation": "0 1 0 1 0 0 0 0 1"}),
        (RAMP.tobytes(), {"Offset": None, "Position": "1 2 3"}),
        (RAMP.tobytes(), {"ElementSpacing": None, "ElementSize": "3 4 5"}),
        (RAMP.tobytes(), {"ElementSpacing": None}),
        (RAMP.tobytes(), {"Comment": "öä = : ="}),
    ],
)
def test_read_as_simpleitk_reads(tmp_path: Path, data: bytes, changes: dict[str, Any]) -> None:
    path = make(tmp_path, data, **changes)
    found, oracle = read_labels(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(found.array, RAMP)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(oracle), RAMP)
    corner = np.array(oracle.TransformIndexToPhysicalPoint((1, 2, 3))) * (-1, -1, 1)
    np.testing.assert_allclose(found.geometry.corners_mm()[-1], corner, atol=1e-9)


def test_compressed_data_of_unknown_size_which_simpleitk_does_not_read(tmp_path: Path) -> None:
    """SimpleITK returns whatever the memory held."""
    path = make(tmp_path, DEFLATED, CompressedData="True")
    np.testing.assert_array_equal(read_labels(path).array, RAMP)


@pytest.mark.parametrize(("skip", "size"), [("0", "0"), ("7", "7"), ("-1", "7")])
def test_data_in_a_file_beside(tmp_path: Path, skip: str, size: str) -> None:
    (tmp_path / "case.raw").write_bytes(bytes(int(size)) + RAMP.tobytes())
    path = make(tmp_path, b"", "case.mhd", ElementDataFile="case.raw", HeaderSize=skip)
    np.testing.assert_array_equal(read_labels(path).array, RAMP)


def test_two_dimensions_become_one_slice(tmp_path: Path) -> None:
    changes = {"NDims": "2", "DimSize": "6 4", "TransformMatrix": "1 0 0 1", "Offset": "5 6", "ElementSpacing": "2 3"}
    found = read_labels(make(tmp_path, **changes))
    assert found.array.shape == (1, 4, 6)
    assert found.geometry.spacing_mm == (1, 3, 2)
    assert found.geometry.origin_mm == (-5, -6, 0)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"NDims": None}, "no NDims"),
        ({"DimSize": None}, "no DimSize"),
        ({"ElementType": None}, "no ElementType"),
        ({"ElementDataFile": ""}, "no ElementDataFile"),
        ({"NDims": "three"}, "NDims in its header must be 1 finite numbers, not 'three'"),
        ({"NDims": "2"}, "DimSize in its header must be 2 finite numbers, not '2 3 4'"),
        ({"DimSize": "2 3 -4"}, "dimensions (2, 3, -4)"),
        ({"DimSize": "2 3 5"}, "announces 60 bytes of data, the file holds 48 bytes"),
        ({"DimSize": "99999 99999 99999"}, "the file holds 48 bytes"),
        ({"ElementType": "MET_FLOAT"}, "announces 96 bytes"),
        ({"ElementType": "MET_ARRAY"}, "holds MET_ARRAY voxels"),
        ({"ElementNumberOfChannels": "3"}, "3 values per voxel"),
        ({"BinaryData": "False"}, "voxels as text"),
        ({"ElementDataFile": "LIST"}, "several files"),
        ({"ElementDataFile": "slice%03d.raw 1 4 1"}, "several files"),
        ({"ElementDataFile": "other.raw"}, "voxels in other.raw, which does not exist beside it"),
        ({"TransformMatrix": "1 0 0 0 1 0"}, "TransformMatrix in its header must be 9 finite numbers"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 nan"}, "TransformMatrix"),
        ({"Offset": "1 2 inf"}, "Offset"),
        ({"ElementSpacing": "nan 1 1"}, "ElementSpacing"),
        ({"ElementToIntensityFunctionSlope": "2"}, "intensity scaling"),
        ({"ElementToIntensityFunctionOffset": "x"}, "ElementToIntensityFunctionOffset"),
        ({"DistanceUnits": "cm"}, "in cm, not in mm"),
        ({"CompressedData": "True"}, "damaged compressed stream"),
        ({"CompressedData": "True", "CompressedDataSize": "49"}, "announces 49 bytes of compressed data"),
        ({"HeaderSize": "4"}, "HeaderSize 4"),
    ],
)
def test_headers_that_cannot_be_used(tmp_path: Path, changes: dict[str, str | None], fact: str) -> None:
    path = make(tmp_path, **changes)
    with pytest.raises(FileError, match=f"^{re.escape(str(path))}: .*{re.escape(fact)}") as caught:
        read_image([path])
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"ElementSpacing": "0 1 1"}, "spacing is 0.0 1.0 1.0 mm"),
        ({"ElementSpacing": "1 -1 1"}, "spacing is 1.0 -1.0 1.0 mm"),
        ({"TransformMatrix": "1 0.1 0 0 1 0 0 0 1"}, "sheared"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "sheared or singular"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 0"}, "singular"),
    ],
)
def test_grids_that_cannot_be_used(tmp_path: Path, changes: dict[str, str | None], fact: str) -> None:
    path = make(tmp_path, **changes)
    with pytest.raises(GeometryError, match=f"^{re.escape(str(path))}: .*{re.escape(fact)}"):
        read_geometry(path)


def test_truncated_compressed_data_which_simpleitk_accepts(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype("<i2")
    path = tmp_path / "case.mha"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), True)
    content = path.read_bytes()
    for kept in (len(content) - 1, len(content) // 2):
        path.write_bytes(content[:kept])
        with pytest.raises(FileError, match=r"case\.mha: is cut off"):
            read_geometry(path)
        path.write_bytes(re.sub(rb"CompressedDataSize = \d+\n", b"", content[:kept]))
        with pytest.raises(FileError, match=r"case\.mha: is cut off"):
            read_image([path])


def test_a_truncated_file_beside(tmp_path: Path) -> None:
    path = make(tmp_path, b"", "case.mhd", ElementDataFile="case.raw")
    (tmp_path / "case.raw").write_bytes(RAMP.tobytes()[:-1])
    with pytest.raises(FileError, match=r"case\.mhd: .* the file holds 47 bytes"):
        read_geometry(path)


def test_a_name_with_dots_keeps_its_data_beside_it(tmp_path: Path) -> None:
    from autoseg.io import Volume, write_labels
    from tests.io.samples import grid

    for value in (1, 2):
        write_labels(tmp_path / "a.b.mhd", Volume(np.full((4, 3, 2), value, np.int16), grid()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.b.mhd", "a.b.zraw"]
    assert (read_labels(tmp_path / "a.b.mhd").array == 2).all()


def test_any_line_may_be_missing_or_wrong(tmp_path: Path) -> None:
    """Whatever a header lacks or says, the file is read or refused by us, and the process goes on."""
    path = tmp_path / "case.mha"
    lines = header().splitlines(keepends=True)
    for i, line in enumerate(lines):
        key = line.split(b"=")[0]
        for new in (b"", key + b"= \n", key + b"= -1\n", key + b"= 1e999\n", key + b"= 9 9 9 9 9 9 9 9 9\n", b"\xff\n"):
            path.write_bytes(b"".join([*lines[:i], new, *lines[i + 1 :]]) + RAMP.tobytes())
            try:
                read_image([path])
            except AutosegError as error:
                assert str(path) in str(error)  # noqa: PT017
