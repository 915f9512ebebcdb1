"""Which format a file has, by its ending."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from autoseg.errors import FileError
from autoseg.io import metaimage, nifti, nrrd

FORMATS: dict[str, ModuleType] = {".nii.gz": nifti, ".nii": nifti, ".mha": metaimage, ".mhd": metaimage, ".nrrd": nrrd}
FILE_ENDINGS = tuple(FORMATS)


def format_of(path: Path) -> ModuleType:
    """The module that reads and writes files with this ending: read_header(path), write(path, array, geometry)."""
    name = path.name.lower()
    for ending, module in FORMATS.items():
        if name.endswith(ending):
            return module
    raise FileError(path, "has no file ending of a volume.", f"Known: {', '.join(FORMATS)}.")
