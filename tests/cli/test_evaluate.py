"""autoseg_evaluate as a user calls it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli.evaluate import main
from autoseg.files import read_json, write_json
from autoseg.geometry import Geometry
from autoseg.io import Volume, write_labels


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A root with one raw dataset, and predictions in `out` that equal its labelsTs."""
    folder = tmp_path / "raw" / "Dataset007_Cubes"
    geometry = Geometry((4, 6, 8), (1.0, 1.0, 1.0))
    array = np.zeros(geometry.shape, np.int16)
    array[1:3, 2:4, 2:6] = 1
    for target in (folder / "labelsTs", tmp_path / "out"):
        write_labels(target / "a.nii.gz", Volume(array, geometry))
    write_json(folder / "dataset.json", {"labels": {"background": 0, "cube": 1}})
    return folder


def test_a_folder_is_evaluated_beside_itself(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "out"), str(raw / "labelsTs")]) == 0
    assert re.search(r"^cube +1\.0000 +1\.0000 +0\.00", capsys.readouterr().out, re.MULTILINE)
    report = read_json(tmp_path / "out" / "evaluation.json")
    assert report["summary"]["overall"]["dice"]["mean"] == 1.0
    assert (tmp_path / "out" / "evaluation.csv").read_text().count("\n") == 2


def test_a_second_evaluation_gives_the_same_files(raw: Path, tmp_path: Path) -> None:
    files = [tmp_path / "out" / name for name in ("evaluation.json", "evaluation.csv")]
    found = []
    for _ in range(2):
        assert main([str(tmp_path / "out"), str(raw / "labelsTs"), "--workers", "2"]) == 0
        found.append([path.read_bytes() for path in files])
    assert found[0] == found[1]


def test_two_files_with_the_classes_of_a_dataset(raw: Path, tmp_path: Path) -> None:
    argv = [str(tmp_path / "out" / "a.nii.gz"), str(raw / "labelsTs" / "a.nii.gz"), "-d", "7", "--root", str(tmp_path)]
    assert main([*argv, "--no-surface", "--output", str(tmp_path / "scores")]) == 0
    assert list(read_json(tmp_path / "scores" / "evaluation.json")["summary"]["cases"]) == ["a"]


def test_files_can_be_named(raw: Path, tmp_path: Path) -> None:
    names = ["--json", str(tmp_path / "x.json"), "--csv", str(tmp_path / "y.csv"), "--tolerance-mm", "0.5"]
    assert main([str(tmp_path / "out"), str(raw / "labelsTs"), *names]) == 0
    assert read_json(tmp_path / "x.json")["summary"]["tolerance_mm"] == 0.5
    assert (tmp_path / "y.csv").exists()


def test_an_error_is_a_sentence_and_exit_code_two(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "a.nii.gz").rename(tmp_path / "out" / "b.nii.gz")
    assert main([str(tmp_path / "out"), str(raw / "labelsTs")]) == 2
    assert "has no prediction for any case" in capsys.readouterr().err


@pytest.mark.real_data
def test_the_decathlons_labels_need_no_option(test_data: Path, tmp_path: Path) -> None:
    labels = test_data / "Task04_Hippocampus" / "labelsTs"
    assert main([str(labels), str(labels), "--output", str(tmp_path)]) == 0
    summary = read_json(tmp_path / "evaluation.json")["summary"]
    assert list(summary["classes"]) == ["Anterior", "Posterior"]
    assert (len(summary["cases"]), summary["overall"]["dice"]["mean"]) == (42, 1.0)
