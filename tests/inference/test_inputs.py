"""Cases are found in folders, files and lists, and wrong ones are all told before the first is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.errors import FileError, FormatError, OptionError
from autoseg.geometry import Geometry
from autoseg.inference.inputs import check_inputs, find_inputs, read_case
from autoseg.io import Volume, write_image

ONE, TWO = ("CT",), ("T1", "T2")


def write(path: Path, shape: tuple[int, ...] = (4, 5, 6)) -> Path:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    write_image(path, Volume(array, Geometry((shape[-3], shape[-2], shape[-1]), (1.0, 1.0, 1.0))))
    return path


def found(sources: list[Path], channels: tuple[str, ...] = ONE, ending: str = ".nii.gz") -> dict[str, list[str]]:
    return {case.id: [path.name for path in case.images] for case in find_inputs(sources, channels, ending)}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_channel_files_make_up_cases(tmp_path: Path) -> None:
    touch(tmp_path, "b_0001.nii.gz", "b_0000.nii.gz", "a_1_0000.nii.gz", "a_1_0001.nii.gz", "notes.csv")
    assert found([tmp_path], TWO) == {
        "a_1": ["a_1_0000.nii.gz", "a_1_0001.nii.gz"],
        "b": ["b_0000.nii.gz", "b_0001.nii.gz"],
    }


def test_plain_names_are_cases_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "patient_2019.nii.gz", "x.nii.gz", ".hidden.nii.gz", ".partial-1-x.nii.gz")
    assert list(found([tmp_path])) == ["patient_2019", "x"]


def test_the_datasets_ending_comes_first_then_any_other(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.mha", "b.nrrd")
    assert list(found([tmp_path])) == ["a"]
    touch(tmp_path, "c_0000.nii.gz")
    assert list(found([tmp_path])) == ["c"]


def test_a_file_and_several_files(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "scan_2020.nii.gz")
    assert found([tmp_path / "a_0000.nii.gz"]) == {"a": ["a_0000.nii.gz"]}
    assert list(found([tmp_path / "scan_2020.nii.gz"])) == ["scan_2020"]
    both = [tmp_path / "a_0001.nii.gz", tmp_path / "a_0000.nii.gz"]
    assert found(both, TWO) == {"a": ["a_0000.nii.gz", "a_0001.nii.gz"]}


def test_lists_are_relative_to_themselves(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    (tmp_path / "l.txt").write_text("a.nii.gz\n\nb_0000.nii.gz\tb_0001.nii.gz\n")
    assert found([tmp_path / "l.txt"], TWO) == {"a": ["a.nii.gz"], "b": ["b_0000.nii.gz", "b_0001.nii.gz"]}
    (tmp_path / "l.json").write_text(json.dumps({"z": ["b_0000.nii.gz", "b_0001.nii.gz"], "y": "a.nii.gz"}))
    assert found([tmp_path / "l.json"], TWO) == {"y": ["a.nii.gz"], "z": ["b_0000.nii.gz", "b_0001.nii.gz"]}
    (tmp_path / "l.json").write_text('[["b_0000.nii.gz", "b_0001.nii.gz"], 3]')
    with pytest.raises(FormatError, match="must hold image files"):
        found([tmp_path / "l.json"], TWO)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = write(tmp_path / "a.nii.gz"), write(tmp_path / "other" / "a.nii.gz")
    with pytest.raises(OptionError, match="do not make up one case a"):
        found([first, second])


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no images"):
        found([tmp_path])
    with pytest.raises(FileError, match="does not exist"):
        found([tmp_path / "nowhere"])


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    write(tmp_path / "a_0000.nii.gz")
    write(tmp_path / "b_0000.nii.gz")
    write(tmp_path / "b_0001.nii.gz", (4, 5, 7))
    write(tmp_path / "c_0000.nii.gz")
    (tmp_path / "c_0001.nii.gz").write_bytes(b"not an image")
    with pytest.raises(FileError) as caught:
        check_inputs(find_inputs([tmp_path], TWO, ".nii.gz"), TWO, [])
    text = str(caught.value)
    assert "3 input(s) cannot be predicted" in text
    assert "the case a has 1 image file(s), but the model takes 2 channel(s) (T1, T2)" in text
    assert "b_0001.nii.gz: lies on another grid than b_0000.nii.gz" in text
    assert "c_0001.nii.gz" in text


def test_sound_inputs_pass(tmp_path: Path) -> None:
    write(tmp_path / "a_0000.nii.gz")
    write(tmp_path / "a_0001.nii.gz")
    check_inputs(find_inputs([tmp_path], TWO, ".nii.gz"), TWO, [tmp_path / "out" / "a.nii.gz"])


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz")
    with pytest.raises(FileError, match="overwritten by its own prediction"):
        check_inputs(find_inputs([tmp_path], ONE, ".nii.gz"), ONE, [tmp_path / "a.nii.gz"])


def test_one_file_may_hold_all_channels(tmp_path: Path) -> None:
    case = Case("a", (write(tmp_path / "a.nii.gz", (2, 4, 5, 6)),))
    check_inputs([case], TWO, [])
    np.testing.assert_array_equal(read_case(case, 2).array.ravel(), np.arange(240))
    assert read_case(Case("b", (write(tmp_path / "b.nii.gz"),)), 1).array.shape == (1, 4, 5, 6)
