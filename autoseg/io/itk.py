"""What MetaImage and NRRD share: SimpleITK interprets the header and writes.

SimpleITK's world is LPS, ours is RAS: x and y change their sign here and nowhere else. The voxels are read by
autoseg.io.storage, because SimpleITK reports success on truncated data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from autoseg.errors import FileError, GeometryError
from autoseg.files import atomic_path
from autoseg.geometry import Geometry
from autoseg.io.storage import Shape, StoredVoxels, array_shape, make_geometry, pieces

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def read_geometry(path: Path, file_shape: Shape, image_io: str) -> Geometry:
    """The grid as SimpleITK understands it. file_shape: dimensions fastest first, as our parser found them.

    image_io: SimpleITK's name of the format. Voxels of several components, and headers that SimpleITK refuses or
    understands otherwise than we do, are a FileError.
    """
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise FileError(path, f"cannot be understood by SimpleITK ({reason}).", "Export the volume again.") from error
    if reader.GetNumberOfComponents() != 1:
        fact = f"holds {reader.GetNumberOfComponents()} values per voxel (RGB, or a vector); a volume has one."
        raise FileError(path, fact, "Write each component to a file of its own.")
    if tuple(reader.GetSize()) != tuple(file_shape):
        fact = f"has the dimensions {tuple(file_shape)}, but SimpleITK understands {tuple(reader.GetSize())}."
        raise FileError(path, fact, "Export the volume again.")
    affine = _affine(path, reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())
    return make_geometry(path, array_shape(path, file_shape), affine)


def _affine(
    path: Path, spacing: tuple[float, ...], origin: tuple[float, ...], direction: tuple[float, ...]
) -> np.ndarray:
    """(4, 4) from file index to RAS mm. Two dimensions become three with 1 mm; a fourth must stand apart."""
    dimensions = len(spacing)
    axes = np.reshape(direction, (dimensions, dimensions))
    if np.any(axes[:3, 3:]) or np.any(axes[3:, :3]):
        raise GeometryError(f"{path}: its spatial axes are mixed with the fourth.", "Export the volumes one by one.")
    n = min(3, dimensions)
    steps, corner = np.eye(3), np.zeros(3)
    steps[:n, :n] = axes[:n, :n] * np.asarray(spacing[:n])
    corner[:n] = origin[:n]
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ steps
    affine[:3, 3] = LPS_TO_RAS @ corner
    return affine


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path`, as in atomic_path; errors about the temporary one name `path` instead."""
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except FileError as error:
        if error.path == path:
            raise
        fact = f"cannot be written whole: the file made {error.file_fact}"
        raise FileError(path, fact, "Free space or choose another folder.") from error


def write_file(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Write compressed, in the format of the ending; not atomic. array: (Z, Y, X) or (C, Z, Y, X)."""
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(array, isVector=False)
    more = array.ndim - 3
    direction = np.eye(3 + more)
    direction[:3, :3] = LPS_TO_RAS @ np.array(geometry.direction)[::-1].T
    image.SetSpacing([*geometry.spacing_mm[::-1], *[1.0] * more])
    image.SetOrigin([*(LPS_TO_RAS @ np.array(geometry.origin_mm)), *[0.0] * more])
    image.SetDirection(direction.ravel().tolist())
    try:
        sitk.WriteImage(image, str(path), True)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise FileError(path, f"cannot be written ({reason}).", "Free space or choose another folder.") from error


def check_written(stored: StoredVoxels) -> None:
    """Read back what was written, in pieces, because SimpleITK raises nothing on a full disk: FileError."""
    for _ in pieces(stored):
        pass
