"""The main job on a GPU: training and prediction with all that is different there."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.files import read_json
from dataset_conversion.phantom import write_phantom_dataset
from tests.commands import command
from trainers import fitting


@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_is_trained_and_predicts_on_a_gpu(
    compiled: bool, cuda: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fitting, "is_worth_compiling", lambda settings, stage: compiled)
    monkeypatch.setattr("autoseg.inference.predictor.is_worth_compiling", lambda stage, windows: compiled)
    raw = tmp_path / "raw" / "Dataset001_Phantom"
    write_phantom_dataset(raw, cases=6, test_cases=1, shape=(16, 32, 32))
    small = ("--base-filters", 8, "--pooling", 2, "--patch-size", "16,32,32", "--device", "cuda")
    assert command("plan_and_preprocess", "-d", 1, *small, root=tmp_path) == 0
    short = ("--folds", 0, "--epochs", 1, "--iterations-per-epoch", 3, "--device", "cuda")
    assert command("train", 1, "3d_fullres", *short, root=tmp_path) == 0
    (model,) = (tmp_path / "results" / "Dataset001_Phantom").iterdir()
    settings = read_json(model / "fold_0" / "training.json")["settings"]
    assert (settings["device"], settings["precision"] in ("bf16", "fp16")) == (cuda, True)
    out = tmp_path / "predicted"
    assert command("predict", "--model", model, "-i", raw / "imagesTs", "-o", out, "--device", cuda, root=tmp_path) == 0
    assert len(list(out.glob("*.nii.gz"))) == 1
    assert "torch.compile failed" not in caplog.text
