"""Each recipe from a phantom to a segmentation, at a size that a test can afford."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.files import read_json
from autoseg.plans import read_plans
from dataset_conversion.phantom import write_phantom_dataset
from planners.recipes import RECIPES
from tests.commands import command

NAME = "Dataset001_Phantom"
ORGANS = {"head_neck_thesis": "organ_brainstem", "liver_coarse_to_fine": "organ_liver"}
SITES = {"head_neck_thesis": "head", "liver_coarse_to_fine": "liver"}
SMALL = {
    "head_neck_thesis": ["--patch-size", "16,16,16", "--base-filters", 4, "--pooling", 2],
    "liver_coarse_to_fine": [
        *("--patch-size", "16,16,16", "--widths", "4,8,8", "--locate-shape", "12,12,12", "--region-margin", 2),
        *("--validate-whole", 2),
    ],
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("autoseg.runtime.seconds_per_multiply_add", lambda device: 1e-11)
    return tmp_path


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_from_end_to_end(name: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration, raw = RECIPES[name].configuration, root / "raw" / NAME
    write_phantom_dataset(raw, cases=4, test_cases=1, site=SITES[name], shape=(16, 24, 24))
    assert command("plan_and_preprocess", "-d", 1, "--recipe", name, *SMALL[name], "--device", "cpu", root=root) == 0
    assert f"next: autoseg_train 1 {configuration}" in capsys.readouterr().out
    tiny = ["--epochs", 2, "--iterations-per-epoch", 2, "--threads", 1, "--precision", "fp32"]
    assert command("train", 1, configuration, "--folds", 0, 1, *tiny, root=root) == 0
    (model,) = (root / "results" / NAME).iterdir()
    records = list((model / "stages").glob("*/fold_0/training.json"))
    assert len(records) == len(read_plans(model / "plans.json").stages)
    for record in records:
        settings, planned = read_json(record)["settings"], RECIPES[name].options
        assert settings["loss"] == planned["loss"]
        crops = 4 if name == "liver_coarse_to_fine" and record.parts[-3] != "locate" else 1
        shift = 8 if name == "head_neck_thesis" else 0
        assert (settings["shift_voxels"], settings["crops_per_case"]) == (shift, crops)
    (history,) = (model / "stages" / ORGANS[name] / "fold_0").glob("*.jsonl")
    assert ("whole_validation_dice" in history.read_text()) == (name == "liver_coarse_to_fine")
    out = root / "out"
    assert command("predict", "--model", model, "-i", raw / "imagesTs", "-o", out, root=root) == 0
    assert command("evaluate", out, raw / "labelsTs", "--no-surface", root=root) == 0
    assert json.loads((out / "evaluation.json").read_text())["summary"]["cases"]
