"""Each of the four sites from a phantom to scores: all its organs located, and segmented by one network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_conversion.phantom import write_phantom_dataset
from dataset_conversion.sites import SITES
from tests.commands import NAME, command

SMALL = ["--base-filters", 4, "--pooling", 1, "--patch-size", "16,16,16", "--device", "cpu", "--budget", "60s"]
TINY = ["--folds", 0, "--epochs", 1, "--iterations-per-epoch", 1, "--threads", 1, "--precision", "fp32"]


@pytest.mark.parametrize("site", SITES)
def test_a_site_runs_from_end_to_end(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg.runtime.seconds_per_multiply_add", lambda device: 1e-11)
    root, raw, out = tmp_path, tmp_path / "raw" / NAME, tmp_path / "out"
    write_phantom_dataset(raw, cases=4, test_cases=1, site=site, shape=(40, 44, 36))
    two_stage = ["--two-stage", "always", "--organ-models", "shared", "-c", "3d_two_stage"]
    assert command("plan_and_preprocess", "-d", 1, *SMALL, *two_stage, root=root) == 0
    assert command("train", 1, "3d_two_stage", *TINY, root=root) == 0
    assert command("predict", "-d", 1, "-c", "3d_two_stage", "-i", raw / "imagesTs", "-o", out, root=root) == 0
    assert command("evaluate", out, raw / "labelsTs", "--no-surface", root=root) == 0
    scored = json.loads((out / "evaluation.json").read_text())["summary"]["classes"]
    drawn = set(json.loads((raw / "dataset.json").read_text())["labels"]) - {"background"}
    assert set(scored) == drawn
    assert drawn <= {name for organ in SITES[site].organs for name in organ.classes}
    assert len(drawn) >= 6
