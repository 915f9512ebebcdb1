"""A file that cannot be written whole is an error, and what was there stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import FileError
from autoseg.io import FILE_ENDINGS, Volume, write_image
from tests.io.samples import grid

# A limit on the size of files stands for a full disk; ignored, its signal becomes an error of the write, like ENOSPC.
WRITE = """
import resource, sys
import numpy as np
from autoseg.errors import FileError
from autoseg.geometry import Geometry
from autoseg.io import Volume, write_image
import nibabel, SimpleITK
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
array = np.random.default_rng(0).normal(size=(32, 32, 32))
try:
    write_image(sys.argv[1], Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0))))
except FileError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"case{ending}"
    done = subprocess.run([sys.executable, "-c", WRITE, path], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"{path}: cannot be written"), done.stdout
    assert "Free space" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_a_folder_that_cannot_be(tmp_path: Path, ending: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="cannot be written"):
        write_image(tmp_path / "file" / f"case{ending}", Volume(np.zeros((4, 3, 2)), grid()))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_has_no_more_than_32767_voxels_along_an_axis(tmp_path: Path, ending: str) -> None:
    volume = Volume(np.zeros((1, 1, 40000), np.float32), grid((1, 1, 40000)))
    with pytest.raises(FileError, match=r"cannot be NIfTI.*\.nrrd"):
        write_image(tmp_path / f"case{ending}", volume)


def test_an_unknown_ending_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"case\.jpg: has no file ending of a volume\. Known: \.nii\.gz, \.nii, \.mha"):
        write_image(tmp_path / "case.jpg", Volume(np.zeros((4, 3, 2)), grid()))
