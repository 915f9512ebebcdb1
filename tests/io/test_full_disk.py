"""A file that cannot be written whole is an error, and what was there stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import FileError
from autoseg.geometry import Geometry
from autoseg.io import FILE_ENDINGS, Volume, itk, read_labels, write_image, write_labels
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


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd"])
def test_what_simpleitk_wrote_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """A wrong byte on the way to the disk is an error, and the earlier file stays."""
    path = tmp_path / f"case{ending}"
    sound = itk.write_file

    def write_file(path: Path, array: np.ndarray, geometry: Geometry) -> None:
        sound(path, array, geometry)
        data = path.with_suffix(".zraw") if ending == ".mhd" else path
        content = bytearray(data.read_bytes())
        content[-6] ^= 1
        data.write_bytes(content)

    write_labels(path, Volume(np.ones((4, 3, 2), np.int16), grid()))
    monkeypatch.setattr(itk, "write_file", write_file)
    with pytest.raises(FileError, match=rf"case\{ending}: cannot be written whole: the file made holds a damaged"):
        write_labels(path, Volume(np.zeros((4, 3, 2), np.int16), grid()))
    assert read_labels(path).array.all()
    assert {file.stem for file in tmp_path.iterdir()} == {"case"}


def test_new_voxels_never_lie_beside_an_old_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "case.mhd"
    write_labels(path, Volume(np.ones((4, 3, 2), np.int16), grid()))
    rename = os.replace

    def stop_at_the_header(source: Path, target: Path) -> None:
        if target == path:
            raise OSError("stopped")
        rename(source, target)

    monkeypatch.setattr(os, "replace", stop_at_the_header)
    with pytest.raises(FileError, match="stopped"):
        write_labels(path, Volume(np.ones((9, 9, 9), np.int16), grid((9, 9, 9))))
    assert [file.name for file in tmp_path.iterdir()] == ["case.zraw"]
