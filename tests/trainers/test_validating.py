"""The held-out predictions of a fold, as they are kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset
from autoseg.geometry import Geometry
from autoseg.inference.model_files import held_out_seconds
from autoseg.io import Volume, write_labels
from autoseg.labels import Labels
from trainers.validating import HeldOut, prediction_file

GRID = Geometry((2, 3, 4), (1.0, 1.0, 1.0))


@pytest.fixture
def held_out(tmp_path: Path) -> HeldOut:
    """Two cases that are all liver."""
    cases = []
    for name in ("a", "b"):
        path = tmp_path / "labelsTr" / f"{name}.nii.gz"
        write_labels(path, Volume(np.ones(GRID.shape, np.int16), GRID))
        cases.append(Case(name, (), path))
    dataset = Dataset("Dataset001_All", tmp_path, ("CT",), Labels({"liver": (1,)}), ".nii.gz", tuple(cases))
    return HeldOut(dataset, "fold 0", ("a", "b"), tmp_path / "fold_0")


def test_how_long_each_case_took_is_kept_beside_the_scores(held_out: HeldOut, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("trainers.validating.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def predict(case_id: str) -> Volume:
        clock[0] += {"a": 2.0, "b": 5.0}[case_id]
        return Volume(np.ones(GRID.shape, np.int16), GRID)

    assert held_out.run(lambda: predict).mean_dice == 1
    assert held_out_seconds(held_out.folder) == {"a": 2.0, "b": 5.0}
    prediction_file(held_out.folder, "b", held_out.dataset).unlink()
    (held_out.folder / "summary.json").unlink()
    clock[0] = 10.0
    held_out.run(lambda: predict)
    assert held_out_seconds(held_out.folder) == {"a": 2.0, "b": 5.0}, "what was there is not forgotten"


def test_a_fold_of_before_has_no_times(tmp_path: Path) -> None:
    assert held_out_seconds(tmp_path) == {}
