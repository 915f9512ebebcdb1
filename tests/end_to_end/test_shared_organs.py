"""Organs that share a network, on small phantoms, through the commands that a user types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.cli.compare import main as compare
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.storage import load_network
from autoseg.plans import Plans, read_plans
from dataset_conversion.phantom import write_phantom_dataset
from tests.commands import NAME, command, usual_speed
from trainers.job import first_of_each_network

SMALL = ["--base-filters", 8, "--pooling", 2, "--patch-size", "16,24,24", "--device", "cpu", "--budget", "60s"]
TRAIN = ["train", 1, "3d_two_stage", "--folds", 0, 1, "--iterations-per-epoch", 1, "--threads", 1]
TRAIN += ["--precision", "fp32", "--validate-whole", 3]


@pytest.fixture(scope="module", autouse=True)
def _unmeasured() -> Iterator[None]:
    with usual_speed():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a phantom dataset of five cases, planned for one network for all organs."""
    root = tmp_path_factory.mktemp("workspace")
    write_phantom_dataset(root / "raw" / NAME, cases=5, test_cases=1, shape=(16, 32, 32))
    plan = ["plan_and_preprocess", "-d", 1, *SMALL, "--two-stage", "always", "--organ-models", "shared"]
    assert command(*plan, "-c", "3d_two_stage", root=root) == 0
    return root


@pytest.fixture(scope="module")
def model(root: Path) -> Path:
    """The configuration, trained on two of the five folds; stopped in the middle of the organs' network and resumed."""
    from autoseg.training.hooks import Validation
    from autoseg.training.loop import TrainingLoop

    with pytest.MonkeyPatch.context() as patch:
        usual = Validation.after_epoch

        def stopped(self: Validation, loop: TrainingLoop) -> None:
            usual(self, loop)
            if loop.record.epoch == 1 and isinstance(loop.network, SharedNetwork):
                raise KeyboardInterrupt

        patch.setattr(Validation, "after_epoch", stopped)
        assert command(*TRAIN, "--epochs", 3, root=root) == 130
    folder = root / "results" / NAME / "two_stage__plans__3d_two_stage"
    assert (folder / "stages" / "organs" / "fold_0" / "checkpoint_latest.safetensors").exists()
    assert command(*TRAIN, "--epochs", 3, root=root) == 0
    return folder


def plans_of(model: Path) -> Plans:
    return read_plans(model / "plans.json")


def test_there_is_one_network_for_all_organs(model: Path) -> None:
    networks = {str(path.relative_to(model)) for path in model.rglob("model.safetensors")}
    expected = {f"stages/organs/fold_{fold}/model.safetensors" for fold in (0, 1)}
    assert {name for name in networks if "locate" not in name} == expected
    assert all((model / f"fold_{fold}" / "summary.json").exists() for fold in (0, 1))


def test_the_run_that_was_stopped_went_on(model: Path) -> None:
    lines = (model / "stages" / "organs" / "fold_0" / "training.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]


def test_held_out_regions_are_scored_whole_by_the_network_of_their_organ(model: Path) -> None:
    lines = (model / "stages" / "organs" / "fold_0" / "training.jsonl").read_text().splitlines()
    assert ["whole_validation_dice" in json.loads(line) for line in lines] == [False, False, True]
    organs = {name for name, stage in plans_of(model).stages.items() if stage.region}
    assert set(json.loads(lines[2])["whole_validation_dice"]) == organs


def test_every_organ_finds_its_network_in_the_file(model: Path) -> None:
    organs = [stage for stage in plans_of(model).stages.values() if stage.region]
    path = model / "stages" / "organs" / "fold_0" / "model.safetensors"
    networks = [load_network(path, organ=stage.name) for stage in organs]
    assert {network.spec for network in networks} == {organs[0].network}
    heads = {tuple(network.decoder.heads[0].weight.flatten().tolist()) for network in networks}  # type: ignore[union-attr, index]
    assert len(heads) == len(organs) > 2


def test_finished_networks_are_skipped(root: Path, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = {path: path.stat().st_mtime_ns for path in model.rglob("model.safetensors")}
    with caplog.at_level("INFO"):
        assert command(*TRAIN, "--epochs", 3, root=root) == 0
    assert before == {path: path.stat().st_mtime_ns for path in model.rglob("model.safetensors")}
    assert f"{NAME} organs fold_0: already trained, skipped" in caplog.text


def test_organs_are_predicted_or_reported(root: Path, model: Path) -> None:
    raw, out = root / "raw" / NAME, root / "out"
    predict = ["predict", "--model", model, "-i", raw / "imagesTs", "-o", out, "--no-postprocessing"]
    assert command(*predict, root=root) == 0
    (path,) = out.glob("*.nii.gz")
    values = set(np.unique(np.asarray(nibabel.load(path).dataobj)).tolist()) - {0}
    named = json.loads((raw / "dataset.json").read_text())["labels"]
    reported = json.loads((out / "autoseg_prediction.json").read_text())["not_found"].get(path.name.split(".")[0], {})
    assert {name for name, value in named.items() if value in values} | set(reported) == set(named) - {"background"}


def test_every_organ_is_exported_as_a_network(model: Path, tmp_path: Path) -> None:
    words = ["--format", "onnx", "--folds", 0, "-o", tmp_path]
    assert command("export", model, *words, root=tmp_path) == 0
    exported = sorted(path.name for path in (tmp_path / "networks").iterdir())
    assert exported == sorted(f"{name}_fold_0.onnx" for name in plans_of(model).stages)
    told = json.loads((tmp_path / "model.json").read_text())
    assert {organ["name"] for organ in told["organs"]} == set(told["classes"])


def organs_budget(root: Path, models: str) -> float:
    """Seconds of training for all organs of a fold, by the plans of the comparison."""
    plans = read_plans(root / "prepared" / NAME / f"compare-organ-models-{models}.json")
    networks = first_of_each_network([stage for stage in plans.stages.values() if stage.region])
    return sum(stage.training.budget_seconds or 0 for stage in networks)


def test_both_ways_are_compared_by_one_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed = ["--set", "base-filters=8", "pooling=1", "patch-size=16,24,24", "two-stage=always"]
    words = ["1", "--vary", "organ-models=one-each,shared", *fixed, "--device", "cpu", "--budget", "60s"]
    assert compare([*words, "--dry-run", "--root", str(root)]) == 0
    assert "2 models, 11 trainings, 2m24s in all" in capsys.readouterr().out
    short = ["--set", *fixed[1:], "epochs=1", "iterations-per-epoch=1", "threads=1", "precision=fp32"]
    assert compare([*words[:3], *short, *words[8:], "--root", str(root)]) == 0
    found = json.loads((root / "results" / NAME / "comparisons" / "organ-models" / "comparison.json").read_text())
    assert list(found["variants"]) == ["one-each", "shared"]
    costs = json.loads((root / "results" / NAME / "comparisons" / "organ-models" / "costs.json").read_text())
    assert costs["shared"]["weights"] < costs["one-each"]["weights"]
    for cost in costs.values():
        assert list(cost["parts"]) == ["locate", "organs"]
        for what in ("weights", "training_seconds", "seconds_per_held_out_case"):
            assert all(part[what] > 0 for part in cost["parts"].values())
            assert sum(part[what] for part in cost["parts"].values()) == pytest.approx(cost[what])
    locate, organs = ({value: cost["parts"][name] for value, cost in costs.items()} for name in ("locate", "organs"))
    assert locate["shared"]["weights"] == locate["one-each"]["weights"]
    assert organs["shared"]["weights"] < organs["one-each"]["weights"]
    assert organs_budget(root, "shared") == pytest.approx(0.5 * organs_budget(root, "one-each"))
