"""The demo in a folder that it was run in before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.cli import demo
from autoseg.files import read_json

MODEL = "results/Dataset999_Phantom/cascade__plans__3d_cascade/model.safetensors"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that the demo would run."""
    names: list[str] = []

    def command(name: str) -> Callable[[list[str]], int]:
        def train(arguments: list[str]) -> int:
            names.append(name)
            path = Path(arguments[-1]) / MODEL
            if name == "train" and not path.exists():
                path.parent.mkdir(parents=True)
                path.write_text(arguments[arguments.index("--budget") + 1])
            return 0

        return train

    monkeypatch.setattr(demo, "_command", command)
    monkeypatch.setattr(demo, "_write_two_folds", lambda raw: None)
    monkeypatch.setattr("autoseg.workspace.Workspace.dataset_name", lambda self, name: "Dataset999_Phantom")
    return names


def run(root: Path, *options: str) -> int:
    return demo.main([*options, "--root", str(root)])


def test_the_same_demo_goes_on_with_what_is_there(ran: list[str], tmp_path: Path, capsys) -> None:
    assert run(tmp_path) == run(tmp_path) == 0
    assert "trained anew" not in capsys.readouterr().out
    assert ran == ["convert", "plan_and_preprocess", "train", "predict", "evaluate"] * 2


def test_another_budget_trains_anew_and_says_so(ran: list[str], tmp_path: Path, capsys) -> None:
    assert run(tmp_path, "--budget", "1m") == 0
    assert run(tmp_path, "--budget", "10m") == 0
    assert "Trained for 1m before: the models are removed and trained anew for 10m." in capsys.readouterr().out
    assert (tmp_path / MODEL).read_text() == "10m"
    assert read_json(tmp_path / demo.RECORD)["budget"] == "10m"


def test_models_of_an_unknown_demo_are_not_taken_for_these(ran: list[str], tmp_path: Path, capsys) -> None:
    assert run(tmp_path, "--budget", "1m") == 0
    (tmp_path / demo.RECORD).unlink()
    assert run(tmp_path, "--budget", "2m") == 0
    assert "Trained with other settings before" in capsys.readouterr().out
    assert (tmp_path / MODEL).read_text() == "2m"


@pytest.mark.parametrize("option", ["--cases", "--test-cases", "--seed"])
def test_other_phantoms_need_another_folder(ran: list[str], tmp_path: Path, option: str, capsys) -> None:
    assert run(tmp_path) == 0
    assert run(tmp_path, option, "7") == 2
    assert f"holds a demo with {option}" in capsys.readouterr().err
    assert len(ran) == 5
