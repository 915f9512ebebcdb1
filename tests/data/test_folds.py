from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import KFold

from autoseg.data.folds import Fold, dataset_folds, keep_folds, make_folds, read_folds, write_folds
from autoseg.dataset import Case, Dataset
from autoseg.errors import DatasetError, FormatError
from autoseg.labels import Labels


def dataset(count: int, *, patients: dict[str, str] | None = None, folder: Path = Path("raw")) -> Dataset:
    names = [f"case_{number:02d}" for number in range(count)]
    cases = tuple(Case(name, (), patient=(patients or {}).get(name)) for name in names)
    return Dataset("Dataset001_Test", folder, ("CT",), Labels({"organ": (1,)}), ".nii.gz", cases)


def test_equals_scikit_learn() -> None:
    names = np.array([f"case_{number:02d}" for number in range(23)])
    expected = [
        Fold(tuple(names[train]), tuple(names[held_out]))
        for train, held_out in KFold(5, shuffle=True, random_state=12345).split(names)
    ]
    assert make_folds(dataset(23)) == tuple(expected)


def test_cases_of_a_patient_stay_together() -> None:
    patients = {f"case_{number:02d}": f"p{number // 3}" for number in range(18)}
    for fold in make_folds(dataset(18, patients=patients)):
        assert not {patients[case] for case in fold.train} & {patients[case] for case in fold.validation}


def test_each_case_validates_once() -> None:
    folds = make_folds(dataset(12, patients={"case_03": "p", "case_07": "p"}))
    assert sorted(case for fold in folds for case in fold.validation) == [f"case_{number:02d}" for number in range(12)]


@pytest.mark.parametrize(("cases", "folds"), [(2, 2), (3, 3), (5, 5), (9, 5)])
def test_few_cases_give_fewer_folds(cases: int, folds: int) -> None:
    assert len(make_folds(dataset(cases))) == folds


def test_one_patient_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DatasetError, match="--folds all"):
        make_folds(dataset(3, patients={f"case_{number:02d}": "same" for number in range(3)}))


def test_written_folds_are_read_back(tmp_path: Path) -> None:
    folds = make_folds(dataset(11))
    write_folds(tmp_path / "splits.json", folds)
    assert read_folds(tmp_path / "splits.json", [case.id for case in dataset(11).cases]) == folds
    assert set(json.loads((tmp_path / "splits.json").read_text())[0]) == {"train", "val"}


@pytest.mark.parametrize("place", ["raw", "prepared"])
def test_splits_of_the_peer_are_honoured(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir()
    splits = [{"train": ["case_01"], "val": ["case_00"]}]
    (tmp_path / place / "splits_final.json").write_text(json.dumps(splits))
    folds = dataset_folds(dataset(2, folder=tmp_path / "raw"), tmp_path / "prepared")
    assert folds == (Fold(("case_01",), ("case_00",)),)


def test_made_folds_are_written_and_kept(tmp_path: Path) -> None:
    folds = dataset_folds(dataset(7, folder=tmp_path / "raw"), tmp_path)
    assert not list(tmp_path.iterdir())
    keep_folds(dataset(7, folder=tmp_path / "raw"), tmp_path)
    assert dataset_folds(dataset(7, folder=tmp_path / "raw"), tmp_path) == folds
    assert read_folds(tmp_path / "splits.json", [case.id for case in dataset(7).cases]) == folds


def test_folds_of_others_and_too_few_cases_are_left_as_they_are(tmp_path: Path) -> None:
    keep_folds(dataset(1, folder=tmp_path / "raw"), tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "splits_final.json").write_text("[]")
    keep_folds(dataset(7, folder=tmp_path / "raw"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["splits_final.json"]


def test_a_case_that_came_later_is_noticed(tmp_path: Path) -> None:
    keep_folds(dataset(7, folder=tmp_path / "raw"), tmp_path)
    with pytest.raises(FormatError, match=r"splits.json.*case_07"):
        dataset_folds(dataset(8, folder=tmp_path / "raw"), tmp_path)


@pytest.mark.parametrize(
    ("splits", "fact"),
    [
        ({"train": [], "val": []}, "must be a list"),
        ([], "must be a list"),
        ([{"train": ["case_00"]}], "exactly the keys"),
        ([{"train": ["case_00"], "val": []}], "at least one case"),
        ([{"train": ["case_00"], "val": ["case_99"]}], "case_99"),
        ([{"train": ["case_00", "case_01"], "val": ["case_01"]}], "both in 'train' and in 'val'"),
        ([{"train": ["case_00", "case_00"], "val": ["case_01"]}], "twice"),
    ],
)
def test_wrong_splits_name_the_file_and_the_fact(tmp_path: Path, splits: object, fact: str) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(splits))
    with pytest.raises(FormatError, match=f"splits_final.json.*{fact}"):
        read_folds(path, ["case_00", "case_01"])
