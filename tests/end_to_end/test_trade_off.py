"""Trained models against each other by every engine, and the choice of one of them, through the commands."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.cli import measured_prediction, predict, trading_off
from autoseg.cli.measured_prediction import PredictionAnswer, PredictionRequest
from autoseg.files import checksum, write_json, write_text
from autoseg.inference.calibration import Int8Record, int8_files, write_int8_record
from autoseg.inference.manifest import MANIFEST
from autoseg.io import read_labels, write_labels
from dataset_conversion.phantom import write_phantom_dataset
from tests.commands import NAME, command

TRAIN = ["train", 1, "3d_fullres", "--folds", 0, "--epochs", 1, "--iterations-per-epoch", 2, "--threads", 1]
COMPARE = ["compare", 1, "--trade-off", "--backends", "torch", "--threads", 1, "--device", "cpu"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with a model and a quantised one; predictions are made in this process."""
    from autoseg.compression.latency import Latency

    root = tmp_path_factory.mktemp("workspace")
    write_phantom_dataset(root / "raw" / NAME, cases=5, test_cases=2, shape=(16, 16, 16))
    small = ["--base-filters", 8, "--pooling", 2, "--patch-size", "16,16,16", "--device", "cpu", "--budget", "60s"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "trainers.measures.measured_latency", lambda stage, specs, *, device: Latency((1.0,) * len(specs), "")
        )
        patched.setattr("autoseg.inference.backends.choice.has_bf16_instructions", lambda: False)
        patched.setattr(
            "autoseg.cli.trading_off.predicted", lambda words: measured_prediction.answer(PredictionRequest(words))
        )
        assert command("plan_and_preprocess", "-d", 1, *small, "-c", "3d_fullres", root=root) == 0
        assert command(*TRAIN, root=root) == 0
        assert command(*TRAIN, "--trainer", "quantization", "--levels", 7, root=root) == 0
        yield root


def trade_off(root: Path, name: str = "trade-off") -> Any:
    return json.loads((root / "results" / NAME / "comparisons" / name / "trade_off.json").read_text())


@pytest.fixture(scope="module")
def measured(root: Path) -> list[dict[str, Any]]:
    assert command(*COMPARE, root=root) == 0
    return trade_off(root)["measured"]


def test_every_model_is_measured_on_the_cases_that_it_has_not_seen(root: Path, measured: list[dict[str, Any]]) -> None:
    assert [(one["kind"], one["backend"], one["precision"]) for one in measured] == [
        ("full", "torch", "fp32"),
        ("quantised", "torch", "fp32"),
    ]
    full, quantised = measured
    splits = json.loads((root / "prepared" / NAME / "splits.json").read_text())
    assert trade_off(root)["cases"] in [
        fold["val"] for fold in (splits if isinstance(splits, list) else splits["folds"])
    ]
    results = root / "results" / NAME
    for one in measured:
        summary = json.loads((results / one["model"] / "fold_0" / "summary.json").read_text())
        assert one["dice"]["mean"] == pytest.approx(summary["overall"]["dice"]["mean"], abs=1e-3)
        assert one["bytes"] == (results / one["model"] / "fold_0" / "model.safetensors").stat().st_size
    assert quantised["bytes"] < full["bytes"] / 3
    assert (full["levels"], quantised["levels"]) == (None, 7)
    assert full["zeros"] < 0.001 < quantised["zeros"] < 1
    assert (quantised["parameters"], quantised["multiply_adds"]) == (full["parameters"], full["multiply_adds"])
    assert full["difference"] is None
    assert quantised["difference"]["mean"] == pytest.approx(quantised["dice"]["mean"] - full["dice"]["mean"])
    assert min(one["seconds_per_case"] for one in measured) > 0
    assert min(one["peak_bytes"] for one in measured) > 50e6


def test_what_has_not_changed_is_not_predicted_again(
    root: Path, measured: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoseg.cli.trading_off.predicted", None)
    for path in (root / "results" / NAME / "comparisons" / "trade-off").rglob("measured.json"):
        write_json(path, json.loads(path.read_text()) | {"bytes": 1})  # as another version may have counted them
    assert command(*COMPARE, root=root) == 0
    assert trade_off(root)["measured"] == measured


@pytest.fixture(scope="module")
def on_tests(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The command that measures on test cases, once run; its labels may be changed."""
    raw, labels = root / "raw" / NAME, tmp_path_factory.mktemp("labels")
    shutil.copytree(raw / "labelsTs", labels, dirs_exist_ok=True)
    words = [*COMPARE, "-i", raw / "imagesTs", "--labels", labels, "--name", "tests", "-c", "3d_fullres"]
    assert command(*words, root=root) == 0
    return words


def test_test_cases_stand_in_for_validation_cases(root: Path, on_tests: list[object]) -> None:
    assert len(trade_off(root, "tests")["cases"]) == 2


def test_corrected_labels_are_scored_and_nothing_is_predicted_again(
    root: Path, on_tests: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trade_off(root, "tests")["measured"]
    labels = Path(str(on_tests[on_tests.index("--labels") + 1]))
    for path in labels.glob("*.nii.gz"):
        volume = read_labels(path)
        write_labels(path, replace(volume, array=np.zeros_like(volume.array)))
    monkeypatch.setattr("autoseg.cli.trading_off.predicted", None)
    assert command(*on_tests, root=root) == 0
    after = trade_off(root, "tests")["measured"]
    assert [one["dice"] for one in after] != [one["dice"] for one in before]
    assert [one["seconds_per_case"] for one in after] == [one["seconds_per_case"] for one in before]


def test_another_version_of_an_engine_is_measured_anew(
    root: Path, on_tests: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted, original = [], trading_off.predicted
    monkeypatch.setattr(trading_off, "predicted", lambda words: predicted.append(words) or original(words))
    assert command(*on_tests, root=root) == 0
    assert len(predicted) == 0
    monkeypatch.setattr(trading_off, "package_versions", lambda backends: dict.fromkeys(backends, "another"))
    assert command(*on_tests, root=root) == 0
    assert len(predicted) == 2


def test_what_another_version_of_autoseg_measured_is_measured_anew(root: Path, on_tests: list[object]) -> None:
    kept = sorted((root / "results" / NAME / "comparisons" / "tests").rglob("measured.json"))
    write_json(kept[0], {"kind": "full"})
    assert command(*on_tests, root=root) == 0
    assert json.loads(kept[0].read_text())["model"].endswith("__plans__3d_fullres")


def chosen(root: Path, *more: object) -> tuple[int, Path]:
    raw, out = root / "raw" / NAME, root / "out"
    return command("predict", "-d", 1, "-c", "best", "-i", raw / "imagesTs", "-o", out, *more, root=root), out


def test_prediction_takes_the_best_within_bounds(root: Path, measured: list[dict[str, Any]]) -> None:
    path = root / "results" / NAME / "comparisons" / "trade-off" / "trade_off.json"
    content = trade_off(root)
    for one, (dice, seconds) in zip(content["measured"], ((0.9, 5.0), (0.8, 1.0)), strict=True):
        one["dice"]["mean"], one["seconds_per_case"] = dice, seconds
    write_json(path, content)
    for bound, model in ((6, "standard"), (2, "quantization")):
        code, out = chosen(root, "--max-seconds", bound, "--max-memory", "100G")
        assert code == 0
        manifest = json.loads((out / MANIFEST).read_text())
        assert manifest["models"][0]["name"].startswith(model)
        assert manifest["models"][0]["folds"] == ["0"]
        assert (manifest["backend"], manifest["precision"]) == ("torch", "fp32")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--max-seconds", "0.0000001"], "No model was measured to predict a case within"),
        (["--max-memory", "1M"], "No model was measured to predict a case within 1M"),
        (["--max-seconds", 1, "--plans-name", "others"], "was measured of the plans 'plans'"),
        (["--max-seconds", 9, "--folds", 0], "choose a model and its folds"),
        (["--max-seconds", 9, "--flips", "none"], "choose by measurements with the plan's flips"),
        (["--max-memory", "9G", "--overlap", 0.25], "Leave --flips and --overlap out"),
        (["--max-seconds", 9, "--device", "cuda:1"], "Nothing was measured with --device cuda."),
        (["--max-seconds", 9, "--backend", "openvino"], "Nothing was measured with --backend openvino."),
        (["--max-seconds", -1], "must be positive"),
    ],
)
def test_bounds_that_cannot_be_kept_are_refused(
    root: Path, measured: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], more: list[object], said: str
) -> None:
    assert chosen(root, *more)[0] == 2
    assert said in capsys.readouterr().err


def test_prediction_takes_the_device_that_was_measured(
    root: Path, measured: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {one["device"] for one in measured} == {"cpu"}
    path = root / "results" / NAME / "comparisons" / "trade-off" / "trade_off.json"
    content = trade_off(root)
    write_json(path, content | {"measured": [one | {"device": "cuda"} for one in content["measured"]]})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert chosen(root, "--max-seconds", 1e6)[0] == 2
    assert "--device cuda: this machine has no usable GPU" in capsys.readouterr().err
    write_json(path, content)
    assert chosen(root, "--max-seconds", 1e6)[0] == 0
    assert "on cpu (Dice" in capsys.readouterr().out


def test_the_command_that_is_told_next_predicts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*COMPARE, root=root) == 0
    (told,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("next: "))
    stand_ins = {"N": "1e6", "SIZE": "100G", "IMAGES": str(root / "raw" / NAME / "imagesTs"), "OUT": str(root / "next")}
    name, *words = (stand_ins.get(word, word) for word in shlex.split(told.removeprefix("next: ")))
    assert (name, predict.main(words)) == ("autoseg_predict", 0)
    assert len(list((root / "next").glob("*.nii.gz"))) == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--trade-off", "--budget", "10m"], "trains nothing has no use for --budget"),
        (["--trade-off", "--folds", 0, 1], "holds no finished network of fold 1"),
        (["--trade-off", "-c", "2d"], "has no trained model to compare"),
        (["--vary", "pooling=1,2", "--threads", 1], "no use for --threads"),
    ],
)
def test_what_a_comparison_has_no_use_for_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str], more: list[object], said: str
) -> None:
    assert command("compare", 1, *more, root=root) == 2
    assert said in capsys.readouterr().err


def test_a_process_of_its_own_tells_its_memory(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images, model = root / "raw" / NAME / "imagesTs", root / "results" / NAME / "standard__plans__3d_fullres"
    words = ("--model", model, "-i", images, "-o", root / "own", "--backend", "torch", "--precision", "fp32")
    held = np.ones(1_200_000_000 // 8)
    answer = measured_prediction.predicted(tuple(map(str, words)))
    assert isinstance(answer, PredictionAnswer)
    assert 50e6 < answer.peak_bytes < held.nbytes
    assert len(list((root / "own").glob("*.nii.gz"))) == 2
    assert "1 of 2 done" in capfd.readouterr().err


def test_a_model_that_was_trained_anew_is_not_chosen(
    root: Path, measured: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "results" / NAME / "comparisons" / "trade-off" / "trade_off.json"
    content = trade_off(root)
    write_json(path, content | {"measured": [one | {"networks": "others"} for one in content["measured"]]})
    assert chosen(root, "--max-seconds", 1e6)[0] == 2
    assert "was trained anew since it was measured" in capsys.readouterr().err
    path.unlink()
    assert chosen(root, "--max-seconds", 1e6)[0] == 2
    assert "has no measurements to choose a model by" in capsys.readouterr().err


def test_steps_and_tagged_models_are_measured_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoseg.compression.latency import Latency

    monkeypatch.setattr(
        "trainers.measures.measured_latency", lambda stage, specs, *, device: Latency((1.0,) * len(specs), "")
    )
    thresholds = ["--trainer", "threshold_pruning", "--threshold", "0.5,0.5,1", "--epochs", 2]
    assert command(*TRAIN, *thresholds, "--tag", "two", root=root) == 0
    steps = [*COMPARE, "--steps", "--name", "steps"]
    assert command(*steps, root=root) == 0
    found = trade_off(root, "steps")["measured"]
    assert [one["kind"] for one in found] == [
        "full",
        "thresholded two: threshold_pruning_01",
        "thresholded two",
        "quantised",
    ]
    _, first, second, _ = found
    assert first["model"] == "threshold_pruning-two__plans__3d_fullres/steps/threshold_pruning_01"
    assert first["bytes"] > second["bytes"], "fewer zeros"
    assert 0.2 < first["zeros"] < second["zeros"]
    usual = root / "results" / NAME / "comparisons" / "trade-off" / "trade_off.json"
    best = first | {"dice": first["dice"] | {"mean": 2.0}}
    write_json(usual, trade_off(root, "steps") | {"measured": [*found, best]})
    code, out = chosen(root, "--max-seconds", 1e6)
    assert code == 0
    assert json.loads((out / MANIFEST).read_text())["models"][0]["name"] == "threshold_pruning_01"
    predict = ["predict", "-d", 1, "-c", "3d_fullres", "--trainer", "threshold_pruning-two"]
    assert command(*predict, "-i", root / "raw" / NAME / "imagesTs", "-o", root / "tagged", root=root) == 0


@pytest.mark.parametrize("tag", ["a__b", "a/b", "", "-a", "a b"])
def test_a_tag_is_part_of_a_folder_name(root: Path, tag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(*TRAIN, f"--tag={tag}", root=root)
    assert "is no tag" in capsys.readouterr().err


def test_int8_that_was_refused_is_told_and_measured_in_floats(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    results = root / "results" / NAME
    model = results / "int8__plans__3d_fullres"
    shutil.copytree(results / "quantization__plans__3d_fullres", model)
    weights = model / "fold_0" / "model.safetensors"
    for path in int8_files(weights):
        write_text(path, "")
    sums = [checksum(path) for path in (weights, *int8_files(weights))]
    write_int8_record(weights, Int8Record(*sums, 64, 0.8, 0.5, 0.005, (0.0,)))
    assert command(*COMPARE, "--name", "refused", root=root) == 0
    assert "int8 was refused for 3d_fullres fold_0 (mean Dice 0.8000, in int8 0.5000, allowed 0.005" in caplog.text
    (line,) = (one for one in trade_off(root, "refused")["measured"] if one["model"] == model.name)
    assert (line["kind"], line["backend"], line["precision"]) == ("int8 refused", "torch", "fp32")
    shutil.rmtree(model)
