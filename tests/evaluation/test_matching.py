"""Which prediction belongs to which reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import FileError, OptionError
from autoseg.evaluation.matching import Pair, match_files


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_endings_may_differ_and_other_files_do_not_matter(tmp_path: Path) -> None:
    out = touch(tmp_path / "out", "b.nrrd", "a.v2.nii", "plans.json", "._a.v2.nii.gz")
    labels = touch(tmp_path / "labels", "a.v2.nii.gz", "b.nii.gz")
    expected = (
        Pair("a.v2", out / "a.v2.nii", labels / "a.v2.nii.gz"),
        Pair("b", out / "b.nrrd", labels / "b.nii.gz"),
    )
    assert match_files(out, labels).pairs == expected


def test_what_one_side_lacks_is_told(tmp_path: Path) -> None:
    out, labels = touch(tmp_path / "out", "a.nii", "x.nii"), touch(tmp_path / "labels", "a.nii", "b.nii")
    matching = match_files(out, labels)
    assert (matching.missing, matching.extra) == (("b",), ("x",))


def test_two_files_match_whatever_their_names(tmp_path: Path) -> None:
    files = touch(tmp_path / "files", "p.nii", "r.nii.gz")
    expected = Pair("r", files / "p.nii", files / "r.nii.gz")
    assert match_files(files / "p.nii", files / "r.nii.gz").pairs == (expected,)


def test_two_files_of_one_case_are_refused(tmp_path: Path) -> None:
    out, labels = touch(tmp_path / "out", "a.nii", "a.nii.gz"), touch(tmp_path / "labels", "a.nii")
    with pytest.raises(FileError, match=r"a\.nii\.gz: is the second file of a, beside a\.nii"):
        match_files(out, labels)


def test_folders_without_a_common_case_are_refused(tmp_path: Path) -> None:
    out, labels = touch(tmp_path / "out", "x.nii"), touch(tmp_path / "labels", "a.nii", "b.nii")
    with pytest.raises(FileError, match=r"has no prediction for any case of .*labels \(a, b; it has x\)"):
        match_files(out, labels)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    out, labels = touch(tmp_path / "out", "plans.json"), touch(tmp_path / "labels", "a.nii")
    with pytest.raises(FileError, match="out: holds no label files"):
        match_files(out, labels)


def test_a_folder_against_a_file_is_refused(tmp_path: Path) -> None:
    out = touch(tmp_path / "out", "a.nii")
    with pytest.raises(OptionError, match="two folders or two files"):
        match_files(out, out / "a.nii")


def test_what_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nowhere: does not exist"):
        match_files(touch(tmp_path / "out", "a.nii"), tmp_path / "nowhere")
