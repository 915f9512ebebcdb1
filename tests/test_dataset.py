"""Reading dataset.json and listing its cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset import Dataset, read_dataset, split_channel
from autoseg.errors import DatasetError, FileError, FormatError

VALUES = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}


def make(folder: Path, *files: str, **changes: Any) -> Dataset:
    """Read a dataset of empty files; changes: keys of dataset.json, left out where None."""
    values = {key: value for key, value in {**VALUES, **changes}.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(values))
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return read_dataset(folder)


def test_cases_are_found_by_their_channels_and_sorted(tmp_path: Path) -> None:
    files = ("b_0000", "a_1_0001", "a_1_0000")
    dataset = make(tmp_path, *(f"imagesTr/{name}.nii.gz" for name in files), channel_names={"0": "T1", "1": "T2"})
    assert [case.id for case in dataset.cases] == ["a_1", "b"]
    assert [path.name for path in dataset.cases[0].images] == ["a_1_0000.nii.gz", "a_1_0001.nii.gz"]
    assert dataset.cases[0].label == tmp_path / "labelsTr" / "a_1.nii.gz"
    assert dataset.channel_names == ("T1", "T2")


def test_the_older_modality_names_channels(tmp_path: Path) -> None:
    assert make(tmp_path, channel_names=None, modality={"0": "MRI"}).channel_names == ("MRI",)


def test_files_that_macos_left_behind_are_no_cases(tmp_path: Path) -> None:
    dataset = make(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/._a_0000.nii.gz", "imagesTr/.DS_Store")
    assert [case.id for case in dataset.cases] == ["a"]


def test_other_endings_and_names_without_channel_are_no_cases(tmp_path: Path) -> None:
    files = ("imagesTr/a_0000.nii", "imagesTr/b.nii.gz", "imagesTr/c_000.nii.gz", "imagesTr/_0000.nii.gz")
    assert make(tmp_path, *files).cases == ()


def test_test_cases_have_labels_only_where_there_are_some(tmp_path: Path) -> None:
    dataset = make(tmp_path, "imagesTs/a_0000.nii.gz", "imagesTs/b_0000.nii.gz", "labelsTs/b.nii.gz")
    assert [case.label for case in dataset.test_cases] == [None, tmp_path / "labelsTs" / "b.nii.gz"]
    assert dataset.case("b").label is not None


def test_an_unknown_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nobody"):
        make(tmp_path).case("nobody")


def test_the_dataset_map_reaches_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELSEWHERE", "/far/away")
    entry = {"x": {"images": ["$ELSEWHERE/ct.nii.gz"], "label": "near/mask.nii.gz"}}
    (case,) = make(tmp_path, "imagesTr/a_0000.nii.gz", dataset=entry).cases
    assert case.id == "x"
    assert case.images == (Path("/far/away/ct.nii.gz"),)
    assert case.label == tmp_path / "near" / "mask.nii.gz"


def test_facts_about_cases(tmp_path: Path) -> None:
    files = ("imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "imagesTs/t_0000.nii.gz")
    facts = {"not_contoured": {"a": ["liver"], "t": ["liver"]}, "patients": {"a": "p1", "b": 7}}
    dataset = make(tmp_path, *files, **facts)
    assert [case.not_contoured for case in dataset.cases] == [("liver",), ()]
    assert [case.patient for case in dataset.cases] == ["p1", "7"]
    assert dataset.test_cases[0].not_contoured == ("liver",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_names": None}, "missing key 'channel_names'"),
        ({"channel_names": ["CT"]}, "missing key 'channel_names'"),
        ({"channel_names": {"1": "CT"}}, "must be numbered 0, not 1"),
        ({"channel_names": {"0": "T1", "2": "T2"}}, "must be numbered 0, 1, not 0, 2"),
        ({"file_ending": None}, "file_ending must be one of .*, not None"),
        ({"file_ending": ".png"}, "file_ending must be one of .*, not '.png'"),
        ({"dataset": ["a"]}, "dataset must be an object"),
        ({"dataset": {"a": "a.nii.gz"}}, "dataset.a must hold 'images'"),
        ({"dataset": {"a": {"images": "a.nii.gz", "label": "b"}}}, "dataset.a must hold 'images'"),
        ({"dataset": {"a": {"images": ["a.nii.gz"]}}}, "dataset.a must hold 'label'"),
        ({"not_contoured": ["a"]}, "not_contoured must be an object"),
        ({"not_contoured": {"a": "liver"}}, "not_contoured.a must be a list"),
        ({"not_contoured": {"a": ["spleen"]}}, "not_contoured.a names 'spleen'"),
        ({"patients": ["a"]}, "patients must be an object"),
        ({"windows": [-125, 225]}, "windows must be an object"),
        ({"windows": {"soft": [-125]}}, r"windows.soft must be a list of two numbers, not \[-125\]"),
        ({"windows": {"soft": "-125,225"}}, "windows.soft must be a list of two numbers"),
        ({"windows": {"soft": [225, -125]}}, "windows.soft must have the smaller number first"),
    ],
)
def test_wrong_keys_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        make(tmp_path, **changes)


def test_a_missing_dataset_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"dataset.json: does not exist"):
        read_dataset(tmp_path)


def test_a_dataset_json_must_hold_an_object(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(FormatError, match="must hold an object"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [("a_0000", ("a", 0)), ("a_b_0012", ("a_b", 12)), ("a_000", ("a_000", None)), ("0000", ("0000", None))],
)
def test_split_channel(stem: str, expected: tuple[str, int | None]) -> None:
    assert split_channel(stem) == expected
