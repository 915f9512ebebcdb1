"""NIfTI files that cannot be used are refused with the file and the fact."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from autoseg.errors import AutosegError, FileError, GeometryError
from autoseg.io import read_geometry, read_image, read_labels
from tests.io.conftest import NiftiMaker

SHEARED = [[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
SINGULAR = [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
NAN = [[np.nan, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
INFINITE = [[1, 0, 0, np.inf], [0, 1, 0, 0], [0, 0, 1, 0]]


def sform(rows: list[list[float]]) -> dict[str, Any]:
    return {"srow_x": rows[0], "srow_y": rows[1], "srow_z": rows[2], "sform_code": 1, "qform_code": 0}


@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz"])
@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        (sform(SHEARED) | {"pixdim": [1, 1, 1.044, 1, 0, 0, 0, 0]}, "sheared"),
        (sform(SINGULAR) | {"pixdim": [1, 1, 1, 1, 0, 0, 0, 0]}, "sheared or singular"),
        (sform(NAN), "NaN or infinity"),
        (sform(INFINITE), "NaN or infinity"),
        ({"pixdim": [1, 0, 1, 1, 0, 0, 0, 0]}, "spacing is 1, 1, 0 mm"),
        ({"pixdim": [1, 1, np.nan, 1, 0, 0, 0, 0]}, "spacing is 1, nan, 1 mm"),
        ({"pixdim": [1, 1, 1, np.inf, 0, 0, 0, 0]}, "spacing is inf, 1, 1 mm"),
        ({"pixdim": [1, 2, 1, 1, 0, 0, 0, 0], "qform_code": 0}, "sform has the spacing 1, 1, 1 mm, its pixdim 1, 1, 2"),
        ({"qform_code": 1, "qoffset_x": 5}, "sform and qform disagree by 5 mm"),
        ({"qform_code": 1, "quatern_b": 1}, "sform and qform disagree"),
        ({"qform_code": 1, "quatern_b": 0.9, "quatern_c": 0.9}, "qform is not a rotation"),
        ({"qform_code": 1, "qoffset_z": np.nan}, "qform holds NaN"),
        ({"xyzt_units": 1}, "in meter, not in mm"),
    ],
)
def test_grids_that_cannot_be_used(
    make_nifti: NiftiMaker, ramp: np.ndarray, name: str, fields: dict, fact: str
) -> None:
    path = make_nifti(ramp, name=name, **fields)
    with pytest.raises(GeometryError, match=f"^{re.escape(str(path))}: .*{re.escape(fact)}") as caught:
        read_geometry(path)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        ({"dim": [9, 2, 3, 4, 1, 1, 1, 1]}, "9 dimensions"),
        ({"dim": [1, 24, 1, 1, 1, 1, 1, 1]}, "1 dimensions"),
        ({"dim": [3, 2, 3, 0, 1, 1, 1, 1]}, r"dimensions (2, 3, 0)"),
        ({"dim": [3, 2, -3, 4, 1, 1, 1, 1]}, r"dimensions (2, -3, 4)"),
        ({"dim": [5, 2, 3, 1, 1, 4, 1, 1]}, "5 dimensions, 2 x 3 x 1 x 1 x 4"),
        ({"vox_offset": 0}, "begin at byte 0"),
        ({"vox_offset": np.nan}, "begin at byte nan"),
        ({"vox_offset": 1e9}, "the header announces 1000000048 bytes of data"),
        ({"datatype": 7}, "voxel type 7"),
        ({"datatype": 32}, "complex64 voxels"),
        ({"datatype": 1536}, "float128 voxels"),
        ({"datatype": 128}, "RGB voxels"),
        ({"scl_slope": 2, "scl_inter": np.nan}, "intensity scaling"),
        ({"magic": b"ni1"}, "half of a pair"),
        ({"magic": b"abc"}, "not a NIfTI file"),
    ],
)
def test_headers_that_cannot_be_used(make_nifti: NiftiMaker, ramp: np.ndarray, fields: dict, fact: str) -> None:
    path = make_nifti(ramp, **fields)
    with pytest.raises(FileError, match=f"^{re.escape(str(path))}: .*{re.escape(fact)}") as caught:
        read_geometry(path)
    assert caught.value.remedy


def test_small_disagreement_of_sform_and_qform_is_rounding(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    """Up to a quarter of a voxel; the sform is taken."""
    assert read_geometry(make_nifti(ramp, qform_code=1, qoffset_x=0.2)).origin_mm == (0, 0, 0)
    with pytest.raises(GeometryError, match=r"disagree by 0\.3 mm"):
        read_geometry(make_nifti(ramp, qform_code=1, qoffset_x=0.3))


@pytest.mark.parametrize("read", [read_geometry, lambda path: read_image([path]), read_labels])
@pytest.mark.parametrize("kept", [0, 10, 347, 351, 352, 399])
def test_truncated_files(make_nifti: NiftiMaker, ramp: np.ndarray, kept: int, read: Any) -> None:
    path = make_nifti(ramp)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FileError, match=f"^{re.escape(str(path))}: is (cut off|not a NIfTI file)"):
        read(path)


@pytest.mark.parametrize("read", [read_geometry, lambda path: read_image([path]), read_labels])
def test_a_gzip_file_cut_anywhere(make_nifti: NiftiMaker, read: Any) -> None:
    array = np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype(np.int16)
    path = make_nifti(array, name="case.nii.gz")
    content = path.read_bytes()
    for kept in (0, 1, 5, 20, 300, len(content) // 2, len(content) - 200):
        path.write_bytes(content[:kept])
        with pytest.raises(FileError, match=re.escape(str(path))):
            read(path)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_gzip_file_without_its_checksum(make_nifti: NiftiMaker, ramp: np.ndarray, cut: int) -> None:
    path = make_nifti(ramp, name="case.nii.gz")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(FileError, match="has no end"):
        read_labels(path)


def test_a_wrong_gzip_checksum(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    path = make_nifti(ramp, name="case.nii.gz")
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"damaged compressed stream .*incorrect data check"):
        read_labels(path)


@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz"])
def test_dimensions_that_the_file_cannot_hold_take_no_memory(
    make_nifti: NiftiMaker, ramp: np.ndarray, name: str
) -> None:
    path = make_nifti(ramp, name=name, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    tracemalloc.start()
    with pytest.raises(FileError, match="the header announces 54000000000352 bytes of data, the file holds"):
        read_image([path])
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_a_short_stream_of_plausible_ratio_takes_no_memory(make_nifti: NiftiMaker) -> None:
    """Zeros compress a thousandfold: only counting the stream shows that a fifth of them is missing."""
    path = make_nifti(np.zeros((64, 64, 64), np.uint8), name="case.nii.gz", dim=[3, 64, 64, 80, 1, 1, 1, 1])
    with pytest.raises(
        FileError, match=f"announces {64 * 64 * 80 + 352} bytes of data, the file holds {2**18 + 352} bytes"
    ):
        read_geometry(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    (tmp_path / "random.nii.gz").write_bytes(b"\x1f\x8b" + np.random.default_rng(0).bytes(500))
    for name, fact in (
        ("missing.nii", "does not exist"),
        ("folder.nii", "is not a file"),
        ("empty.nii.gz", "not a NIfTI file"),
        ("random.nii.gz", "damaged"),
        ("case.dcm", "no file ending of a volume"),
    ):
        with pytest.raises(FileError, match=f"{name}: .*{fact}"):
            read_geometry(tmp_path / name)


def test_any_byte_of_the_header_may_be_wrong(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    """Whatever one wrong byte says, a file is read or refused by us."""
    path = make_nifti(ramp)
    content = path.read_bytes()
    for position in range(348):
        for value in (0x7F, 0xFF):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            try:
                read_image([path])
            except AutosegError as error:
                assert str(path) in str(error)  # noqa: PT017


def test_the_oracle_accepts_what_we_refuse(make_nifti: NiftiMaker) -> None:
    """Why the bytes are read here: nibabel stops before the checksum."""
    array = np.random.default_rng(0).integers(0, 99, (40, 40, 40)).astype(np.int16)
    path = make_nifti(array, name="case.nii.gz")
    path.write_bytes(path.read_bytes()[:-8] + b"checksum")
    np.testing.assert_array_equal(nibabel.load(path).get_fdata(), array)
    with pytest.raises(FileError, match="damaged"):
        read_image([path])
