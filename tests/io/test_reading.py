"""What well-made files mean: types, byte orders, scaling, dimensions, channels and labels."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.errors import FileError, GeometryError, ResourceError
from autoseg.io import Volume, read_channels, read_geometry, read_image, read_labels, storage, write_image, write_labels
from tests.io.conftest import NiftiMaker
from tests.io.samples import grid

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_and_byte_order(tmp_path: Path, ramp: np.ndarray, kind: type, dtype: str, order: str) -> None:
    image = kind(ramp.astype(dtype), np.eye(4), dtype=dtype)
    image.header.set_data_dtype(dtype)
    kind(ramp.astype(dtype), np.eye(4), image.header.as_byteswapped(order)).to_filename(tmp_path / "case.nii.gz")
    found = read_image([tmp_path / "case.nii.gz"]).array
    assert (found.dtype, found.shape) == (np.float32, (1, 4, 3, 2))
    np.testing.assert_array_equal(found[0].T, ramp)
    labels = read_labels(tmp_path / "case.nii.gz").array
    assert labels.dtype == np.int16
    np.testing.assert_array_equal(labels.T, ramp)


def test_slope_and_intercept_are_applied(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    path = make_nifti(ramp, scl_slope=0.1, scl_inter=-1024)
    np.testing.assert_array_equal(read_image([path]).array[0].T, nibabel.load(path).get_fdata(dtype=np.float32))


@pytest.mark.parametrize("slope", [0, np.nan])
def test_a_slope_of_zero_means_none(make_nifti: NiftiMaker, ramp: np.ndarray, slope: float) -> None:
    path = make_nifti(ramp, scl_slope=slope, scl_inter=7)
    np.testing.assert_array_equal(read_image([path]).array[0].T, ramp)


def test_more_voxels_than_one_piece(monkeypatch: pytest.MonkeyPatch, make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    monkeypatch.setattr(storage, "PIECE", 5)
    for name in ("case.nii", "case.nii.gz"):
        path = make_nifti(ramp, name=name, scl_slope=2)
        np.testing.assert_array_equal(read_image([path]).array[0].T, ramp * 2)


def test_the_content_says_whether_it_is_compressed(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    path = make_nifti(ramp, name="case.nii.gz")
    path.write_bytes(gzip.decompress(path.read_bytes()))
    np.testing.assert_array_equal(read_labels(path).array.T, ramp)
    plain = make_nifti(ramp)
    plain.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_labels(plain).array.T, ramp)


@pytest.mark.parametrize("rest", [b"", bytes(8), b"rest"])
def test_gzip_members_are_joined_and_what_follows_is_left(
    make_nifti: NiftiMaker, ramp: np.ndarray, rest: bytes
) -> None:
    path = make_nifti(ramp)
    content = path.read_bytes()
    path.write_bytes(gzip.compress(content[:360]) + gzip.compress(content[360:]) + rest)
    np.testing.assert_array_equal(read_labels(path).array.T, ramp)


def test_float64_beyond_float32_becomes_infinite(make_nifti: NiftiMaker) -> None:
    path = make_nifti(np.full((2, 2, 2), -1e300))
    assert (read_image([path]).array == -np.inf).all()


def test_infinity_and_nan_arrive(make_nifti: NiftiMaker) -> None:
    array = np.array([1, np.nan, np.inf, -np.inf], dtype=np.float32).reshape(2, 2, 1)
    np.testing.assert_array_equal(read_image([make_nifti(array)]).array[0].T, array)


def test_trailing_dimensions_of_one_are_left_out(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    path = make_nifti(ramp, dim=[5, 2, 3, 4, 1, 1, 1, 1])
    assert read_image([path]).array.shape == (1, 4, 3, 2)


def test_two_dimensions_become_one_slice(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    path = make_nifti(ramp, dim=[2, 6, 4, 0, 0, 0, 0, 0], pixdim=[1, 1, 1, 0, 0, 0, 0, 0], qform_code=1, sform_code=0)
    found = read_labels(path)
    assert found.array.shape == (1, 4, 6)
    assert found.geometry.spacing_mm == (1, 1, 1)


@pytest.mark.parametrize(("qfac", "z"), [(1, 5), (0, 5), (-1, -1)])
def test_a_qform_without_handedness_is_right_handed(
    make_nifti: NiftiMaker, ramp: np.ndarray, qfac: float, z: float
) -> None:
    """The standard: pixdim[0] is 1 or -1, and 0 means 1."""
    path = make_nifti(ramp, qform_code=1, sform_code=0, qoffset_z=2, pixdim=[qfac, 1, 1, 1, 0, 0, 0, 0])
    assert read_geometry(path).corners_mm()[-1].tolist() == [1, 2, z]


def test_four_dimensions_are_channels_or_an_error(make_nifti: NiftiMaker) -> None:
    array = np.arange(48, dtype=np.int16).reshape(2, 3, 4, 2)
    path = make_nifti(array)
    np.testing.assert_array_equal(read_channels(path).array.T, array)
    assert read_geometry(path).shape == (4, 3, 2)
    with pytest.raises(FileError, match=r"holds 2 volumes of 4 x 3 x 2 voxels \(z, y, x\), not one. Split it"):
        read_image([path])
    with pytest.raises(FileError, match="holds 2 volumes"):
        read_labels(path)


def test_three_dimensions_are_one_channel(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    assert read_channels(make_nifti(ramp)).array.shape == (1, 4, 3, 2)


def test_channels_keep_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"case_000{i}.nii.gz" for i in range(3)]
    for i, path in enumerate(paths):
        write_image(path, Volume(np.full((4, 3, 2), float(i)), grid()))
    assert read_image(paths[::-1]).array[:, 0, 0, 0].tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("other", "fact"),
    [
        (grid((4, 3, 3)), r"\(4, 3, 3\) against \(4, 3, 2\) voxels"),
        (grid(origin_mm=(-123.4, 345.6, -786.1)), "corners lie 3 mm apart"),
    ],
)
def test_channels_on_different_grids(tmp_path: Path, other: object, fact: str) -> None:
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    for path, geometry in zip(paths, (grid(), other), strict=True):
        write_image(path, Volume(np.zeros(geometry.shape), geometry))
    with pytest.raises(GeometryError, match=rf"b.nii.gz: lies on another grid than .*a.nii.gz \({fact}"):
        read_image(paths)


def test_no_file_is_no_image() -> None:
    with pytest.raises(ValueError, match="at least one"):
        read_image([])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_numbers_as_floats_are_labels(make_nifti: NiftiMaker, ramp: np.ndarray, dtype: str) -> None:
    noisy = (ramp + np.where(ramp % 2, 1e-6, -1e-6)).astype(dtype)
    np.testing.assert_array_equal(read_labels(make_nifti(noisy)).array.T, ramp)


def test_scaled_labels_are_whole_numbers_again(make_nifti: NiftiMaker) -> None:
    stored = np.arange(0, 240, 10, dtype=np.uint8).reshape(2, 3, 4)
    path = make_nifti(stored, scl_slope=0.1, scl_inter=0)
    np.testing.assert_array_equal(read_labels(path).array.T, stored // 10)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0.5, "is 0.5, which is not a whole number"),
        (1.001, "is 1.001, which is not a whole number"),
        (np.nan, "is nan, which is not a whole number"),
        (-np.inf, "is -inf, which is not a whole number"),
        (40000, "is 40000, which does not fit int16"),
        (-32769, "is -32769, which does not fit int16"),
    ],
)
def test_other_numbers_are_no_labels(make_nifti: NiftiMaker, value: float, rule: str) -> None:
    array = np.zeros((2, 3, 4))
    array[1, 2, 3] = value
    array[0, 2, 3] = 1
    with pytest.raises(FileError, match=rf"case.nii: the label at voxel \(3, 2, 1\) \(z, y, x\) {rule}"):
        read_labels(make_nifti(array))


def test_integers_beyond_int16_are_no_labels(make_nifti: NiftiMaker, ramp: np.ndarray) -> None:
    with pytest.raises(FileError, match="is 32768, which does not fit int16"):
        read_labels(make_nifti(ramp.astype(np.uint16) + 32768))


def test_the_bad_voxel_is_named_in_later_pieces(monkeypatch: pytest.MonkeyPatch, make_nifti: NiftiMaker) -> None:
    monkeypatch.setattr(storage, "PIECE", 5)
    array = np.zeros((2, 3, 4))
    array[0, 1, 3] = 0.25
    with pytest.raises(FileError, match=r"voxel \(3, 1, 0\)"):
        read_labels(make_nifti(array))


def test_more_than_the_free_memory_is_refused(monkeypatch: pytest.MonkeyPatch, make_nifti: NiftiMaker) -> None:
    path = make_nifti(np.zeros((100, 100, 100), np.uint8), name="case.nii.gz")
    monkeypatch.setattr("autoseg.io.storage.available_memory_bytes", lambda: 3_999_999)
    with pytest.raises(ResourceError, match=r"case.nii.gz: 1 x 100 x 100 x 100 voxels need 0.0 GiB of memory"):
        read_image([path])
    assert read_labels(path).array.shape == (100, 100, 100)


def test_endings_may_be_upper_case(tmp_path: Path) -> None:
    write_labels(tmp_path / "case.nii", Volume(np.ones((4, 3, 2), np.int16), grid()))
    (tmp_path / "case.nii").rename(tmp_path / "CASE.NII")
    assert read_labels(tmp_path / "CASE.NII").array.all()
