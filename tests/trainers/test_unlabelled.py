"""Images without labels: which are refused, and which networks decide what is seen of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from autoseg.errors import FileError
from autoseg.inference.model_files import read_model_files
from autoseg.plans import Plans
from trainers.unlabelled import networks_before, unlabelled_patches


def test_all_channels_in_one_file_are_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.float32), np.eye(4)), tmp_path / "case_a.nii.gz")
    dataset = SimpleNamespace(channel_names=("T1", "T2"), file_ending=".nii.gz")
    task: Any = SimpleNamespace(job=SimpleNamespace(dataset=dataset))
    with pytest.raises(
        FileError, match=r"case_a\.nii\.gz: holds all 2 channels.*Split it into case_a_0000, case_a_0001"
    ):
        unlabelled_patches(tmp_path, task, SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("configuration", "stage", "before"),
    [
        ("3d_fullres", "3d_fullres", []),
        ("3d_cascade", "3d_lowres", []),
        ("3d_cascade", "3d_cascade_fullres", ["stages/3d_lowres/fold_0/model.safetensors"]),
    ],
)
def test_a_later_stage_depends_on_the_networks_before_it(
    tmp_path: Path, write_model: Callable[..., Plans], configuration: str, stage: str, before: list[str]
) -> None:
    write_model(tmp_path / "model", configuration=configuration, folds=("0", "1"))
    files = read_model_files(tmp_path / "model", folds=("0",), configuration=configuration)
    found = networks_before(files, stage)
    assert [str(path.relative_to(tmp_path / "model")) for path in found] == before
