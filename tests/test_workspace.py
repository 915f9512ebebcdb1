from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import DatasetError, OptionError
from autoseg.workspace import Workspace, full_name


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("Dataset004_Hippocampus", "Dataset010_HeadNeck", "Dataset1234_Many"):
        (tmp_path / "raw" / name).mkdir(parents=True)
    (tmp_path / "raw" / "not_a_dataset").mkdir()
    (tmp_path / "raw" / "Dataset004_Hippocampus.zip").touch()
    (tmp_path / "results" / "Dataset020_TrainedElsewhere").mkdir(parents=True)
    return Workspace(tmp_path)


@pytest.mark.parametrize("name", ["4", "004", "Dataset004_Hippocampus", "Hippocampus", " 4 "])
def test_a_dataset_answers_to_its_id_and_its_names(workspace: Workspace, name: str) -> None:
    assert workspace.dataset_name(name) == "Dataset004_Hippocampus"


def test_ids_may_have_more_digits(workspace: Workspace) -> None:
    assert workspace.dataset_name("1234") == "Dataset1234_Many"


def test_a_dataset_with_results_only_is_known(workspace: Workspace) -> None:
    assert workspace.dataset_name("20") == "Dataset020_TrainedElsewhere"


def test_files_and_other_folders_are_no_datasets(workspace: Workspace) -> None:
    assert [name[:10] for name in workspace.dataset_names()] == ["Dataset004", "Dataset010", "Dataset020", "Dataset123"]


def test_an_unknown_dataset_lists_the_known(workspace: Workspace) -> None:
    with pytest.raises(DatasetError, match=r"There is no dataset 5 under .*found: Dataset004_Hippocampus, .*convert"):
        workspace.dataset_name("5")


def test_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"\(found: none\)"):
        Workspace(tmp_path / "empty").dataset_name("4")


def test_two_datasets_with_one_id(workspace: Workspace) -> None:
    (workspace.root / "prepared" / "Dataset004_Other").mkdir(parents=True)
    with pytest.raises(DatasetError, match="4 names several datasets: Dataset004_Hippocampus, Dataset004_Other"):
        workspace.dataset_name("4")
    assert workspace.dataset_name("Dataset004_Other") == "Dataset004_Other"


def test_the_root_is_given_or_in_the_environment_or_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AUTOSEG_ROOT", raising=False)
    assert Workspace.open().root == tmp_path / "autoseg"
    monkeypatch.setenv("AUTOSEG_ROOT", "~/elsewhere")
    assert Workspace.open().root == tmp_path / "elsewhere"
    assert Workspace.open(tmp_path / "given").root == tmp_path / "given"
    assert Workspace.open("relative").root == Path.cwd() / "relative"


def test_where_everything_lies() -> None:
    workspace = Workspace(Path("/r"))
    assert workspace.raw("D") == Path("/r/raw/D")
    assert workspace.plans_file("D", "plans") == Path("/r/prepared/D/plans.json")
    assert workspace.grid("D", "plans", "3d_fullres") == Path("/r/prepared/D/plans_3d_fullres")
    assert workspace.model("D", "default", "plans", "2d") == Path("/r/results/D/default__plans__2d")


def test_full_names_have_three_digits() -> None:
    assert full_name(4, "Hippocampus") == "Dataset004_Hippocampus"
    assert full_name(1234, "Many") == "Dataset1234_Many"


@pytest.mark.parametrize("name", ["splits", "fingerprint", "../plans", "a/b", "two__parts", "", "a b", ".hidden"])
def test_names_of_plans_that_would_overwrite_or_leave(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="Plans cannot be called"):
        Workspace(tmp_path).plans_file("Dataset001_A", name)


@pytest.mark.parametrize("name", ["plans", "long_2h", "A-1"])
def test_names_of_plans(tmp_path: Path, name: str) -> None:
    assert Workspace(tmp_path).plans_file("Dataset001_A", name).name == f"{name}.json"
