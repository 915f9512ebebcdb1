"""Task folders of the Decathlon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.checking import check_dataset
from autoseg.dataset import read_dataset
from autoseg.errors import DatasetError, FileError, FormatError, OptionError
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_image, read_labels, write_image, write_labels
from dataset_conversion.msd import MsdConverter, convert_msd, merge_classes

GRID = Geometry((3, 4, 5), (2.0, 1.0, 1.0))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def make_task(folder: Path, *, channels: int = 1, values: tuple[int, ...] = (0, 1, 2), **changes: Any) -> Path:
    """A task of two training cases and one test case; labels hold the values, one per slice."""
    labels = np.zeros(GRID.shape, np.int16)
    for index, value in enumerate(values):
        labels[index] = value
    for number, case_id in enumerate(("x_1", "x_2", "x_3")):
        part = "Ts" if case_id == "x_3" else "Tr"
        array = noise(channels, *GRID.shape, seed=number)
        write_image(folder / f"images{part}/{case_id}.nii.gz", Volume(array if channels > 1 else array[0], GRID))
        write_labels(folder / f"labels{part}/{case_id}.nii.gz", Volume(labels, GRID))
    (folder / "imagesTr/._x_1.nii.gz").write_bytes(b"Mac OS X")
    (folder / "imagesTs/._x_3.nii.gz").write_bytes(b"Mac OS X")
    names = ["background", "liver", "tumour"]
    task = {
        "name": "Belly & more",
        "licence": "CC-BY-SA 4.0",
        "modality": {str(i): f"M{i}" for i in range(channels)},
        "labels": {str(value): name for value, name in zip(values, names, strict=True)},
        "training": [{"image": f"./imagesTr/x_{i}.nii.gz", "label": f"./labelsTr/x_{i}.nii.gz"} for i in (1, 2)],
        "test": ["./imagesTs/x_3.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps({**task, **changes}))
    return folder


def test_a_task_becomes_a_sound_dataset(tmp_path: Path) -> None:
    convert_msd(make_task(tmp_path / "task"), tmp_path / "raw")
    dataset = read_dataset(tmp_path / "raw")
    assert [case.id for case in dataset.cases] == ["x_1", "x_2"]
    assert [case.id for case in dataset.test_cases] == ["x_3"]
    assert dataset.test_cases[0].label is not None
    assert dataset.channel_names == ("M0",)
    assert dataset.labels.classes == {"liver": (1,), "tumour": (2,)}
    assert dataset.description["licence"] == "CC-BY-SA 4.0"
    assert check_dataset(dataset) == []


def test_files_of_one_channel_are_copied_untouched(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task")
    convert_msd(task, tmp_path / "raw")
    assert (tmp_path / "raw/imagesTr/x_1_0000.nii.gz").read_bytes() == (task / "imagesTr/x_1.nii.gz").read_bytes()
    assert (tmp_path / "raw/labelsTs/x_3.nii.gz").read_bytes() == (task / "labelsTs/x_3.nii.gz").read_bytes()


def test_the_fourth_dimension_is_split_into_channels(tmp_path: Path) -> None:
    convert_msd(make_task(tmp_path / "task", channels=3), tmp_path / "raw")
    dataset = read_dataset(tmp_path / "raw")
    assert dataset.channel_names == ("M0", "M1", "M2")
    np.testing.assert_array_equal(read_image(dataset.cases[1].images).array, noise(3, *GRID.shape, seed=1))
    assert check_dataset(dataset) == []


def test_labels_with_gaps_are_renumbered(tmp_path: Path) -> None:
    convert_msd(make_task(tmp_path / "task", values=(0, 2, 7)), tmp_path / "raw")
    dataset = read_dataset(tmp_path / "raw")
    assert dataset.labels.classes == {"liver": (1,), "tumour": (2,)}
    labels = read_labels(dataset.cases[0].label or Path())
    np.testing.assert_array_equal(labels.array[:, 0, 0], [0, 1, 2])
    assert labels.geometry.matches(GRID)


def test_a_value_that_cannot_be_renumbered_is_named(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", values=(0, 2, 7))
    write_labels(task / "labelsTr/x_2.nii.gz", Volume(np.full(GRID.shape, 5, np.int16), GRID))
    with pytest.raises(DatasetError, match=r"x_2.nii.gz: holds the label values \[5\]"):
        convert_msd(task, tmp_path / "raw")


def test_a_channel_too_few_is_named(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", channels=2, modality={"0": "A", "1": "B", "2": "C"})
    with pytest.raises(DatasetError, match="It has 2 channels, but 3 are declared"):
        convert_msd(task, tmp_path / "raw")


def test_several_volumes_in_a_task_of_one_channel_are_refused(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", channels=2, modality={"0": "A"})
    with pytest.raises(DatasetError, match="It has 2 channels, but 1 are declared"):
        convert_msd(task, tmp_path / "raw")


def test_a_listed_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task")
    (task / "labelsTr/x_2.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"x_2: .*x_2.nii.gz: does not exist"):
        convert_msd(task, tmp_path / "raw")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": None}, "has no list 'training'"),
        ({"training": ["a.nii.gz"]}, r"training\[0\] must hold 'image' and 'label'"),
        ({"training": [{"image": "a.nii.gz"}]}, r"training\[0\] must hold 'image' and 'label'"),
        ({"labels": {"background": 0, "liver": 1}}, "labels must be like"),
        ({"labels": {"0": "background"}}, "must hold classes of different names"),
        ({"labels": {"0": "background", "1": "liver", "2": "liver"}}, "must hold classes of different names"),
        ({"labels": {"0": "background", "1": "background"}}, "must hold classes of different names"),
        ({"modality": {"1": "CT"}}, "must be numbered 0"),
    ],
)
def test_a_wrong_dataset_json_is_explained(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        convert_msd(make_task(tmp_path / "task", **changes), tmp_path / "raw")


def test_a_folder_without_dataset_json(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        convert_msd(tmp_path, tmp_path / "raw")


def test_the_name_comes_from_the_task(tmp_path: Path) -> None:
    options: Any = None
    assert MsdConverter().dataset_name(make_task(tmp_path / "Task07_Belly"), options) == "Belly_more"
    assert MsdConverter().dataset_name(make_task(tmp_path / "Task07_Belly", name=""), options) == "Belly"


@pytest.mark.real_data
def test_the_hippocampus_task(test_data: Path, tmp_path: Path) -> None:
    convert_msd(test_data / "Task04_Hippocampus", tmp_path, workers=2)
    dataset = read_dataset(tmp_path)
    assert (len(dataset.cases), len(dataset.test_cases)) == (166, 42)
    assert all(case.label is not None for case in dataset.test_cases)
    assert check_dataset(dataset, workers=2) == []


@pytest.mark.parametrize("name", ["tumour", "Tumor", "cancer"])
@pytest.mark.parametrize("merge", ["tumour:liver", "TUMOR:Liver", "cancer:liver"])
def test_a_class_becomes_part_of_another(tmp_path: Path, name: str, merge: str) -> None:
    from autoseg.cli.convert import main

    task = make_task(tmp_path / "task", labels={"0": "background", "1": "liver", "2": name})
    assert main(["msd", str(task), "-d", "3", "--merge", merge, "--root", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "raw").iterdir()
    assert read_dataset(folder).labels.classes == {"liver": (1,)}
    labels = read_labels(folder / "labelsTr/x_1.nii.gz").array
    assert labels[:, 0, 0].tolist() == [0, 1, 1]


def test_later_classes_move_up(tmp_path: Path) -> None:
    assert merge_classes({1: "a", 2: "b", 3: "c"}, {"a": "b"}) == {1: "b", 2: "b", 3: "c"}
    task = make_task(tmp_path / "task", values=(0, 1, 2), labels={"0": "background", "1": "edge", "2": "core"})
    convert_msd(task, tmp_path / "raw", merged={"edge": "core"})
    assert read_dataset(tmp_path / "raw").labels.classes == {"core": (1,)}


@pytest.mark.parametrize(
    ("merged", "message"),
    [
        ({"spleen": "liver"}, r"no class 'spleen'.*liver, tumour"),
        ({"tumour": "spleen"}, "no class 'spleen'"),
        ({"tumour": "liver", "liver": "kidney"}, "ends in a class that is itself to become part of kidney"),
    ],
)
def test_a_merge_that_cannot_be_is_refused(merged: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        merge_classes({1: "liver", 2: "tumour", 3: "kidney"}, merged)
