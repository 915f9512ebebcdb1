"""NIfTI-1 and NIfTI-2 files: headers are nibabel's, bytes are read by autoseg.io.storage so that each is checked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import FileError, GeometryError
from autoseg.files import atomic_path
from autoseg.geometry import Geometry
from autoseg.io import streams
from autoseg.io.storage import StoredVoxels, array_shape, check_size, corner_tolerance_mm, make_geometry

LONGEST_HEADER = 540
LONGEST_EDGE = 32767
SCANNER = 1
QFORM_TOLERANCE_MM = 1e-2
FIX_FORMS = "Decide which one is right and write it to both (nibabel: image.set_sform, image.set_qform)."


def read_header(path: Path) -> StoredVoxels:
    """What the header says, checked, with the size of the file; the voxels are not read."""
    streams.file_size(path)
    compressed = streams.is_gzip(path)
    header = _parse(path, streams.first_bytes(path, LONGEST_HEADER, compressed=compressed))
    shape = array_shape(path, _file_shape(path, header))
    dtype = _dtype(path, header)
    offset = _offset(path, header)
    size = math.prod(shape) * dtype.itemsize
    slope, intercept = _scaling(path, header)
    geometry = make_geometry(path, shape, _affine(path, header, shape))
    check_size(path, path, start=0, needed=offset + size, compressed=compressed)
    return StoredVoxels(path, path, compressed, 0, offset, shape, dtype, geometry, slope, intercept)


def write(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Write atomically as NIfTI-1. array: (Z, Y, X) or (C, Z, Y, X); its type is stored as it is.

    The grid goes into the sform and the qform, both as scanner coordinates: SimpleITK reads the sform only then. A
    quaternion that would say something else by more than 0.01 mm (single precision, or slightly sheared axes) gets the
    code 0, and readers take the sform.
    """
    import nibabel

    if max(array.shape) > LONGEST_EDGE:
        fact = f"cannot be NIfTI: an axis has {max(array.shape)} voxels, the format allows {LONGEST_EDGE}."
        raise FileError(path, fact, "Choose another format, such as .nrrd.")
    image = nibabel.Nifti1Image(array.T, geometry.affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(geometry.affine, SCANNER)
    image.set_qform(geometry.affine, SCANNER)
    if _corner_distance_mm(image.header.get_qform(), geometry.affine, geometry.shape) > QFORM_TOLERANCE_MM:
        image.set_qform(geometry.affine, 0)
    with atomic_path(path) as temporary:
        image.to_filename(temporary)


def _parse(path: Path, head: bytes) -> Any:
    """The header as nibabel holds it, in the file's byte order."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    for kind, magic in ((Nifti1Header, head[344:347]), (Nifti2Header, head[4:7])):
        size = kind.sizeof_hdr
        endianness = {size.to_bytes(4, "little"): "<", size.to_bytes(4, "big"): ">"}.get(head[:4])
        if endianness is None or len(head) < size:
            continue
        if magic.startswith(b"ni"):
            fact = "is one half of a pair of files (.hdr and .img), which is not supported."
            raise FileError(path, fact, "Load the pair with nibabel and save it as .nii.gz.")
        if magic.startswith(b"n+"):
            return kind(head[:size], endianness, check=False)
    raise FileError(path, "is not a NIfTI file: its first bytes are not a NIfTI header.", "Is the file ending right?")


def _file_shape(path: Path, header: Any) -> tuple[int, ...]:
    dimensions = int(header["dim"][0])
    if not 1 <= dimensions <= 7:
        raise FileError(path, f"claims to have {dimensions} dimensions; NIfTI has 1 to 7.", streams.COPY_AGAIN)
    return tuple(int(n) for n in header.get_data_shape())


def _dtype(path: Path, header: Any) -> np.dtype:
    from nibabel.spatialimages import HeaderDataError

    try:
        dtype = header.get_data_dtype()
        name = header._data_type_codes.label[int(header["datatype"])]
    except (HeaderDataError, KeyError) as error:
        fact = f"has the voxel type {int(header['datatype'])}, which NIfTI does not know."
        raise FileError(path, fact, streams.COPY_AGAIN) from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or dtype.itemsize < 1:
        fact = f"holds {name} voxels; a volume has one integer or real number of at most 64 bits per voxel."
        raise FileError(path, fact, "Write each component (or the magnitude) to a file of its own.")
    return dtype


def _offset(path: Path, header: Any) -> int:
    offset = float(header["vox_offset"])
    if not np.isfinite(offset) or offset < header.sizeof_hdr + 4:
        fact = f"says that its voxels begin at byte {offset:g}, inside the header."
        raise FileError(path, fact, streams.COPY_AGAIN)
    return int(offset)


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    from nibabel.spatialimages import HeaderDataError

    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise FileError(
            path, f"has unusable intensity scaling: {error}.", "Correct scl_slope and scl_inter."
        ) from error
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept))


def _affine(path: Path, header: Any, shape: tuple[int, ...]) -> np.ndarray:
    """(4, 4) from file index to RAS mm: the sform, else the qform, else what nibabel assumes for neither.

    Refused: lengths in another unit than mm, spacing that is not positive, a sform that disagrees with the qform or
    with the spacing beyond corner_tolerance_mm.
    """
    _check_unit(path, header)
    spacing = _spacing(path, header)
    if int(header["sform_code"]) <= 0:
        return _qform(path, header) if int(header["qform_code"]) > 0 else header.get_base_affine()
    affine = header.get_sform()
    geometry = make_geometry(path, shape, affine)
    tolerance = corner_tolerance_mm(geometry.spacing_mm)
    extents = np.array(geometry.shape) - 1
    if (np.abs(spacing - np.array(geometry.spacing_mm)) * extents).max() > tolerance:
        fact = (
            f"its sform has the spacing {_listed(geometry.spacing_mm)} mm, its pixdim {_listed(spacing)} mm (z, y, x)."
        )
        raise GeometryError(f"{path}: {fact}", FIX_FORMS)
    if int(header["qform_code"]) > 0:
        distance = _corner_distance_mm(_qform(path, header), affine, geometry.shape)
        if distance > tolerance:
            raise GeometryError(f"{path}: its sform and qform disagree by {distance:.4g} mm at a corner.", FIX_FORMS)
    return affine


def _check_unit(path: Path, header: Any) -> None:
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        return
    if unit not in ("mm", "unknown"):
        remedy = "Convert its affine to millimetres (nibabel: image.header.set_xyzt_units('mm'))."
        raise GeometryError(f"{path}: its lengths are in {unit}, not in mm.", remedy)


def _spacing(path: Path, header: Any) -> np.ndarray:
    """(3,) mm along (z, y, x). Makes pixdim usable for nibabel: signs dropped, as the standard says, qfac set."""
    pixdim = header["pixdim"]
    if int(header["dim"][0]) < 3 and not pixdim[3] > 0:
        pixdim[3] = 1
    spacing = np.abs(pixdim[3:0:-1]).astype(float)
    if not np.isfinite(spacing).all() or (spacing == 0).any():
        fact = f"its spacing is {_listed(spacing)} mm (z, y, x); each must be positive."
        raise GeometryError(f"{path}: {fact}", "Correct pixdim in the header, or export the volume again.")
    pixdim[1:4] = np.abs(pixdim[1:4])
    if pixdim[0] not in (-1, 1):
        pixdim[0] = 1
    return spacing


def _qform(path: Path, header: Any) -> np.ndarray:
    from nibabel.spatialimages import HeaderDataError

    try:
        affine = header.get_qform()
    except (HeaderDataError, ValueError) as error:
        raise GeometryError(f"{path}: its qform is not a rotation ({error}).", FIX_FORMS) from error
    if not np.isfinite(affine).all():
        raise GeometryError(f"{path}: its qform holds NaN or infinity.", FIX_FORMS)
    return affine


def _corner_distance_mm(one: np.ndarray, other: np.ndarray, shape: tuple[int, int, int]) -> float:
    """The largest distance between what two (4, 4) affines say about a corner; shape: (Z, Y, X)."""
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in reversed(shape)], indexing="ij"), -1).reshape(-1, 3)
    difference = np.asarray(one) - np.asarray(other)
    return float(np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1).max())


def _listed(values: Any) -> str:
    return ", ".join(f"{float(value):.5g}" for value in values)
