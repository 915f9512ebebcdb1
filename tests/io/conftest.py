"""Small files, well made and badly made."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

NiftiMaker = Callable[..., Path]


@pytest.fixture
def make_nifti(tmp_path: Path) -> NiftiMaker:
    """Write a NIfTI file with nibabel and then set header fields to what nibabel would not write."""

    def make(array: np.ndarray, *, name: str = "case.nii", affine: np.ndarray | None = None, **fields: Any) -> Path:
        path = tmp_path / "plain.nii"
        nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine, dtype=array.dtype).to_filename(path)
        content = bytearray(path.read_bytes())
        header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
        for field, value in fields.items():
            header[field] = value
        content[:348] = header.binaryblock
        target = tmp_path / name
        target.write_bytes(gzip.compress(bytes(content)) if name.endswith(".gz") else bytes(content))
        return target

    return make


@pytest.fixture
def ramp() -> np.ndarray:
    """(X, Y, Z) int16, every voxel different."""
    return np.arange(24, dtype=np.int16).reshape(2, 3, 4)
