"""Each recipe from data as they come to a segmentation, at a size that a test can afford."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.files import read_json, write_json
from autoseg.plans import read_plans
from dataset_conversion.phantom import write_phantom_dataset
from planners.recipes import RECIPES
from tests.commands import command

NAME = "Dataset001_Phantom"
ORGANS = {"head_neck_thesis": "organ_brainstem", "liver_coarse_to_fine": "organ_liver"}
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


def write_raw(name: str, root: Path) -> Path:
    """The raw dataset of a recipe; that of the liver is made of a Decathlon task by the recipe's own conversion."""
    if name == "head_neck_thesis":
        return drawn(root / "raw" / NAME, "head")
    _, *words = RECIPES[name].conversion.split()
    task = as_task(drawn(root / words[1], "liver"))
    assert command("convert", words[0], task, *words[2:], root=root) == 0
    (raw,) = (root / "raw").iterdir()
    return raw


def drawn(folder: Path, site: str) -> Path:
    """A raw dataset of phantoms."""
    write_phantom_dataset(folder, cases=4, test_cases=1, site=site, shape=(16, 24, 24))
    return folder


def as_task(folder: Path) -> Path:
    """A raw dataset as the Decathlon would lay it out: no channel in a file's name, and a list of training cases."""
    for path in sorted(folder.glob("images*/*")):
        path.rename(path.with_name(path.name.replace("_0000", "")))
    names, values = [path.name for path in sorted(folder.glob("labelsTr/*"))], read_json(folder / "dataset.json")
    task = {
        "name": "Liver",
        "modality": values["channel_names"],
        "labels": {str(value): name for name, value in values["labels"].items()},
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
    }
    write_json(folder / "dataset.json", task)
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_from_end_to_end(name: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration, raw = RECIPES[name].configuration, write_raw(name, root)
    number = int(raw.name[len("Dataset") :].partition("_")[0])
    plan = ["plan_and_preprocess", "-d", number, "--recipe", name, *SMALL[name], "--device", "cpu"]
    assert command(*plan, root=root) == 0
    assert f"next: autoseg_train {number} {configuration}" in capsys.readouterr().out
    tiny = ["--epochs", 2, "--iterations-per-epoch", 2, "--threads", 1, "--precision", "fp32"]
    assert command("train", number, configuration, "--folds", 0, 1, *tiny, root=root) == 0
    (model,) = (root / "results" / raw.name).iterdir()
    stages = list(read_plans(model / "plans.json").stages)
    assert stages == ["locate", "organ_liver"] or name == "head_neck_thesis"
    records = list((model / "stages").glob("*/fold_0/training.json"))
    assert len(records) == len(stages)
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
