"""What is written is read back by us, by nibabel and by SimpleITK, voxel for voxel and corner for corner."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from autoseg.geometry import Geometry
from autoseg.io import (
    FILE_ENDINGS,
    Volume,
    read_channels,
    read_geometry,
    read_image,
    read_labels,
    write_image,
    write_labels,
)
from tests.io.samples import grid, oblique, orientations

EXACT_MM = 1e-4


def corners_by_simpleitk(path: Path) -> np.ndarray:
    """(8, 3) RAS mm, in the order of Geometry.corners_mm."""
    image = sitk.ReadImage(str(path))
    x, y, z = (n - 1 for n in image.GetSize())
    indices = [(i, j, k) for k in (0, z) for j in (0, y) for i in (0, x)]
    return np.array([image.TransformIndexToPhysicalPoint(index) for index in indices]) * (-1, -1, 1)


def corners_by_nibabel(path: Path) -> np.ndarray:
    image = nibabel.load(path)
    x, y, z = (n - 1 for n in image.shape[:3])
    indices = [(i, j, k) for k in (0, z) for j in (0, y) for i in (0, x)]
    return nibabel.affines.apply_affine(image.affine, indices)


def labels_on(geometry: Geometry) -> Volume:
    return Volume(np.random.default_rng(0).integers(0, 9, geometry.shape).astype(np.int16), geometry)


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_all_48_orientations_survive(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"case{ending}"
    assert len(set(orientations())) == 48
    for direction in orientations():
        volume = labels_on(grid(direction=direction))
        write_labels(path, volume)
        found = read_labels(path)
        np.testing.assert_array_equal(found.array, volume.array)
        assert found.geometry.corner_distance_mm(volume.geometry) < EXACT_MM
        np.testing.assert_allclose(corners_by_simpleitk(path), volume.geometry.corners_mm(), atol=EXACT_MM)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nibabel_reads_all_48_orientations_alike(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"case{ending}"
    for direction in orientations():
        volume = labels_on(grid(direction=direction))
        write_labels(path, volume)
        np.testing.assert_array_equal(np.asanyarray(nibabel.load(path).dataobj).T, volume.array)
        np.testing.assert_allclose(corners_by_nibabel(path), volume.geometry.corners_mm(), atol=EXACT_MM)


@pytest.mark.parametrize("ending", FILE_ENDINGS)
@pytest.mark.parametrize("seed", range(5))
def test_oblique_grids_of_clinical_size_survive(tmp_path: Path, ending: str, seed: int) -> None:
    """The corners of a CT-sized grid move by less than 1e-4 mm although NIfTI stores single precision."""
    small = grid(direction=oblique(seed), origin_mm=(-249.51171875, 412.3, -861.25))
    path = tmp_path / f"case{ending}"
    write_labels(path, labels_on(small))
    large = Geometry((300, 512, 512), small.spacing_mm, small.origin_mm, small.direction)
    found = read_geometry(path)
    grown = Geometry(large.shape, found.spacing_mm, found.origin_mm, found.direction)
    assert grown.corner_distance_mm(large) < EXACT_MM
    np.testing.assert_allclose(corners_by_simpleitk(path), small.corners_mm(), atol=EXACT_MM)


def test_single_precision_affines_survive_nifti_bit_for_bit(tmp_path: Path) -> None:
    affine = np.float32([[-0.7, 0.01, 0, 311.1], [0.01, 0.7, 0, -97.3], [0, 0, 2.5, -1234.567], [0, 0, 0, 1]])
    geometry = Geometry.from_affine((4, 3, 2), affine)
    write_labels(tmp_path / "case.nii", labels_on(geometry))
    np.testing.assert_array_equal(nibabel.load(tmp_path / "case.nii").affine, affine.astype(float))


def test_a_quaternion_that_cannot_say_it_is_left_out(tmp_path: Path) -> None:
    """Close to a half turn, single precision bends a quaternion by up to 3e-4: then only the sform speaks."""
    angle = 2.5e-4
    direction = ((0.0, 0.0, 1.0), (-np.sin(angle), -np.cos(angle), 0.0), (-np.cos(angle), np.sin(angle), 0.0))
    geometry = Geometry((2, 512, 512), (1.0, 0.3, 0.3), (0.0, 0.0, 0.0), direction)
    path = tmp_path / "case.nii"
    write_labels(path, Volume(np.zeros(geometry.shape, np.int16), geometry))
    header = nibabel.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    assert read_geometry(path).corner_distance_mm(geometry) < EXACT_MM
    np.testing.assert_allclose(corners_by_simpleitk(path), geometry.corners_mm(), atol=EXACT_MM)


def test_sform_and_qform_are_scanner_coordinates_in_mm(tmp_path: Path) -> None:
    write_labels(tmp_path / "case.nii.gz", labels_on(grid()))
    header = nibabel.load(tmp_path / "case.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_images_keep_every_float(tmp_path: Path, ending: str) -> None:
    array = np.random.default_rng(1).normal(0, 1e5, (4, 3, 2)).astype(np.float32)
    array[0, 0] = (np.nan, np.inf)
    array[1, 0, 0] = -np.inf
    path = tmp_path / f"case{ending}"
    write_image(path, Volume(array[None], grid()))
    np.testing.assert_array_equal(read_image([path]).array, array[None])


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_channels_become_a_fourth_dimension(tmp_path: Path, ending: str) -> None:
    array = np.random.default_rng(1).normal(size=(5, 4, 3, 2)).astype(np.float32)
    path = tmp_path / f"case{ending}"
    write_image(path, Volume(array, grid()))
    found = read_channels(path)
    np.testing.assert_array_equal(found.array, array)
    assert found.geometry.corner_distance_mm(grid()) < EXACT_MM


@pytest.mark.parametrize("ending", FILE_ENDINGS)
@pytest.mark.parametrize(("values", "dtype"), [((0, 255), "uint8"), ((0, 256), "int16"), ((-1, 3), "int16")])
def test_labels_take_the_smallest_type(tmp_path: Path, ending: str, values: tuple[int, int], dtype: str) -> None:
    array = np.full((4, 3, 2), values[0], dtype=np.int64)
    array[0, 0, 0] = values[1]
    path = tmp_path / f"case{ending}"
    write_labels(path, Volume(array, grid()))
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).dtype == dtype
    np.testing.assert_array_equal(read_labels(path).array, array)


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_equal_volumes_make_equal_files(tmp_path: Path, ending: str) -> None:
    content = []
    for _ in range(2):
        write_labels(tmp_path / f"case{ending}", labels_on(grid()))
        content.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert content[0] == content[1]


@pytest.mark.parametrize("array", [np.zeros((4, 3, 2), np.float32), np.zeros((1, 4, 3, 2), np.int16)])
def test_labels_must_be_integers_of_three_dimensions(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="integers"):
        write_labels(tmp_path / "case.nii", Volume(array, grid()))


def test_a_volume_lies_on_its_grid() -> None:
    with pytest.raises(ValueError, match="does not lie on a grid"):
        Volume(np.zeros((2, 3, 4)), grid((4, 3, 2)))
