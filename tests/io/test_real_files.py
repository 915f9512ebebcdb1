"""Real and odd files: read as nibabel and SimpleITK read them, or refused for a reason that is listed here."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from autoseg.errors import AutosegError
from autoseg.io import FILE_ENDINGS, Volume, read_channels, read_geometry, read_image, read_labels, write_labels

pytestmark = pytest.mark.real_data

# What a refused file is, by the part of its path that names it; every other file must be read.
REFUSED = {
    "example4d.nii.gz": "holds 2 volumes",
    "example_nifti2.nii.gz": "holds 2 volumes",
    "functional.nii": "holds 20 volumes",
    "row_major.dconn.nii": "6 dimensions",
    "5D_small.nii": "5 dimensions",
    "5D_zeros.nii.gz": "5 dimensions",
    "not-nifti.nii": "not a NIfTI file",
    "5_1_1_1_invalid.mha": "5 values per voxel",
    "image10x11x12x13-extra-stuff.mhd": "sheared",
    "image10x11x12x13.m": "holds 13 volumes",
    "RGB.mhd": "3 values per voxel",
    "image3x4": "3 values per voxel",
    "image4x4x4x4x4.mha": "5 dimensions",
    "invalid_utf8.mhd": "announces 8000 bytes of data, the file holds 7551",
    "image10x11x12_unsupported_version.nrrd": "not an NRRD file of version 1 to 5",
    "warp_": "5 dimensions",
}
ORACLES = ("spinal_cord_anisotropic", "total_segmentation", "rtstruct", "bad_inputs")


def volumes_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(FILE_ENDINGS))


def reason_to_refuse(path: Path) -> str | None:
    return next((reason for part, reason in REFUSED.items() if part in path.name), None)


def by_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (Z, Y, X) float32 and corners (8, 3) RAS mm."""
    image = nibabel.load(path)
    array = np.asanyarray(image.dataobj).astype(np.float32)
    array = array.reshape(array.shape[:3]).T
    z, y, x = (n - 1 for n in array.shape)
    indices = [(i, j, k) for k in (0, z) for j in (0, y) for i in (0, x)]
    return array, nibabel.affines.apply_affine(image.affine, indices)


def by_simpleitk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = sitk.ReadImage(str(path))
    if image.GetDimension() == 2:
        image = sitk.JoinSeries(image)
    x, y, z = (n - 1 for n in image.GetSize())
    indices = [(i, j, k) for k in (0, z) for j in (0, y) for i in (0, x)]
    corners = [image.TransformIndexToPhysicalPoint(index) for index in indices]
    return sitk.GetArrayFromImage(image).astype(np.float32), np.array(corners) * (-1, -1, 1)


@pytest.mark.parametrize("read", [lambda path: read_image([path]), read_channels, read_labels, read_geometry])
def test_every_odd_file_is_read_or_refused_by_name(test_data: Path, read: object) -> None:
    paths = volumes_in(test_data / "bad_inputs")
    assert len(paths) > 70
    for path in paths:
        try:
            read(path)
        except AutosegError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert error.remedy  # noqa: PT017


@pytest.mark.parametrize("folder", ORACLES)
def test_refused_for_the_listed_reasons_only(test_data: Path, folder: str) -> None:
    for path in volumes_in(test_data / folder):
        reason = reason_to_refuse(path)
        if reason is None:
            assert read_geometry(path).shape
        else:
            with pytest.raises(AutosegError, match=reason):
                read_image([path])


@pytest.mark.parametrize("folder", ORACLES)
def test_nifti_as_nibabel_reads_it(test_data: Path, folder: str) -> None:
    for path in volumes_in(test_data / folder):
        if ".nii" not in path.name or reason_to_refuse(path):
            continue
        volume = read_image([path])
        array, corners = by_nibabel(path)
        np.testing.assert_array_equal(volume.array[0], array, err_msg=str(path))
        np.testing.assert_allclose(volume.geometry.corners_mm(), corners, atol=1e-4, err_msg=str(path))


@pytest.mark.parametrize("folder", ORACLES)
def test_everything_as_simpleitk_reads_it(test_data: Path, folder: str) -> None:
    """But for NIfTI-2, which it cannot read, and NaN and infinity, which it turns into zero."""
    for path in volumes_in(test_data / folder):
        if reason_to_refuse(path) or "nifti2" in path.name:
            continue
        volume = read_image([path])
        array, corners = by_simpleitk(path)
        finite = np.isfinite(volume.array[0])
        np.testing.assert_allclose(volume.array[0][finite], array[finite], rtol=1e-6, err_msg=str(path))
        np.testing.assert_allclose(volume.geometry.corners_mm(), corners, atol=0.01, err_msg=str(path))


def test_minus_infinity_arrives(test_data: Path) -> None:
    path = test_data / "spinal_cord_anisotropic/mt/mtr.nii.gz"
    found = read_image([path]).array[0]
    assert (found == -np.inf).sum() == (np.asanyarray(nibabel.load(path).dataobj) == -np.inf).sum() > 0


def test_soft_masks_are_no_labels(test_data: Path) -> None:
    with pytest.raises(AutosegError, match=r"PAM50_gm.nii.gz: the label at voxel .* is 0\.\d+, which is not a whole"):
        read_labels(test_data / "spinal_cord_anisotropic/mt/label/template/PAM50_gm.nii.gz")


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_labels_go_back_onto_the_grid_of_real_images(test_data: Path, tmp_path: Path, ending: str) -> None:
    for path in volumes_in(test_data / "spinal_cord_anisotropic")[::7]:
        if reason_to_refuse(path):
            continue
        geometry = read_geometry(path)
        labels = np.random.default_rng(0).integers(0, 3, geometry.shape).astype(np.int16)
        write_labels(tmp_path / f"case{ending}", Volume(labels, geometry))
        found = read_labels(tmp_path / f"case{ending}")
        np.testing.assert_array_equal(found.array, labels)
        assert found.geometry.corner_distance_mm(geometry) < 1e-4


def test_nrrd_labels_of_full_size(test_data: Path) -> None:
    path = test_data / "head_neck_two_readers/oncologist/0522c0057/segmentations/Mandible.nrrd"
    found = read_labels(path)
    array, corners = by_simpleitk(path)
    assert np.unique(found.array).tolist() == [0, 1]
    np.testing.assert_array_equal(found.array, array)
    np.testing.assert_allclose(found.geometry.corners_mm(), corners, atol=1e-6)


def test_decathlon_files(test_data: Path) -> None:
    paths = volumes_in(test_data / "Task04_Hippocampus")
    assert len(paths) > 100
    for path in paths[::40]:
        for oracle in (by_nibabel, by_simpleitk):
            array, corners = oracle(path)
            volume = read_image([path])
            np.testing.assert_array_equal(volume.array[0], array)
            np.testing.assert_allclose(volume.geometry.corners_mm(), corners, atol=1e-4)
