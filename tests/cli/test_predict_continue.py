"""autoseg_predict --continue: without torch where nothing is left, and with engines of its own on another device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import predict
from autoseg.files import read_json, to_json, write_json
from autoseg.geometry import Geometry
from autoseg.inference.backends import choice
from autoseg.inference.backends.probe import ProbeAnswer, Trial
from autoseg.inference.batches import usual_batch_size
from autoseg.inference.manifest import MANIFEST
from autoseg.io import Volume, read_labels, write_image
from autoseg.runtime import cache

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys
from autoseg.cli.predict import main
code = main(sys.argv[1:])
print(json.dumps([code, "torch" in sys.modules]))
"""


@pytest.fixture
def command(write_model, tmp_path: Path) -> list[str]:
    """Predicts two cases, one of which is finished."""
    write_model(tmp_path / "m__plans__3d_fullres")
    geometry = Geometry((20, 15, 17), (1.2, 1.6, 1.4))
    for number in range(2):
        array = np.random.default_rng(number).normal(size=geometry.shape).astype(np.float32)
        write_image(tmp_path / "images" / f"case{number}_0000.nii.gz", Volume(array, geometry))
    words = ["--model", str(tmp_path / "m__plans__3d_fullres"), "-o", str(tmp_path / "out"), "--continue"]
    words += ["--flips", "none", "--device", "cpu", "--threads", "1", "-i"]
    assert predict.main([*words, str(tmp_path / "images" / "case0_0000.nii.gz")]) == 0
    return [*words, str(tmp_path / "images")]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "out" / MANIFEST


def run_apart(command: list[str]) -> list[object]:
    """The exit code of a process of its own, and whether it loaded torch."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_torch_is_loaded_only_where_a_case_is_left(command: list[str]) -> None:
    assert run_apart(command) == [0, True]
    assert run_apart(command) == [0, False]


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_another_engine_predicts_without_torch(name: str, write_model, tmp_path: Path) -> None:
    """Of two networks, also where they are met for the first time: other processes convert and compare them."""
    write_model(tmp_path / "m__plans__3d_cascade", configuration="3d_cascade", folds=("0", "1"))
    array = np.random.default_rng(0).normal(size=(20, 15, 17)).astype(np.float32)
    write_image(tmp_path / "image.nii.gz", Volume(array, Geometry((20, 15, 17), (1.2, 1.6, 1.4))))
    words = ["--model", str(tmp_path / "m__plans__3d_cascade"), "-i", str(tmp_path / "image.nii.gz")]
    words += ["--flips", "all", "--device", "cpu", "--threads", "1", "--precision", "fp32", "-o"]
    assert run_apart([*words, str(tmp_path / "other"), "--backend", name]) == [0, False]
    assert run_apart([*words, str(tmp_path / "torch"), "--backend", "torch"]) == [0, True]
    found, expected = (read_labels(tmp_path / folder / "image.nii.gz").array for folder in ("other", "torch"))
    np.testing.assert_array_equal(found, expected)


def test_the_engine_that_was_measured_to_be_fastest_predicts_without_torch(
    write_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = write_model(tmp_path / "m__plans__3d_fullres")
    array = np.random.default_rng(0).normal(size=(20, 15, 17)).astype(np.float32)
    write_image(tmp_path / "image.nii.gz", Volume(array, Geometry((20, 15, 17), (1.2, 1.6, 1.4))))
    stage, candidates = plans.stages["3d_fullres"], choice.possible("auto", "auto")
    task = choice.Task(stage.network, stage.patch_size, usual_batch_size(stage, "cpu"), 1, 1.0)
    monkeypatch.setattr(cache, "current_threads", lambda: 1)
    trials = tuple(Trial(one, (0.0, 0.0), 1.0, 1.0 + 2 * (one.backend == "openvino")) for one in candidates)
    cache.remember("engines", choice._key(task.request(candidates, timed=True)), to_json(ProbeAnswer(trials)))
    words = ["--model", str(tmp_path / "m__plans__3d_fullres"), "-i", str(tmp_path / "image.nii.gz")]
    words += ["-o", str(tmp_path / "out"), "--threads", "1", "--device", "cpu"]
    assert run_apart(words) == [0, False]
    (engine,) = read_json(tmp_path / "out" / MANIFEST)["engines"][0]
    assert (engine["backend"], engine["precision"]) == ("openvino", "fp32")


def test_choosing_a_model_by_what_it_costs_takes_no_torch() -> None:
    modules = "autoseg.cli.model_selection, autoseg.inference.model_costs, autoseg.evaluation.trade_off"
    code = f"import sys, {modules}, autoseg.inference.backends.pytorch; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"


def test_another_device_gets_engines_of_its_own(command: list[str], manifest: Path, capfd) -> None:
    written = read_json(manifest)
    own = written["device"]
    assert own.startswith("cpu: ")
    foreign = [[{"backend": "torch", "precision": "fp16", "reason": "the engine of a GPU"}]]
    write_json(manifest, written | {"device": "cuda: Some GPU", "engines": foreign})
    assert predict.main(command) == 0
    assert f"finished cases were predicted on cuda: Some GPU, this is {own}" in capfd.readouterr().out
    now = read_json(manifest)
    assert (now["device"], now["engines"][0][0]["precision"]) == (own, "fp32")
    assert sorted(now["seconds"]) == ["case0", "case1"]


def test_the_same_device_keeps_them(command: list[str], manifest: Path, capfd) -> None:
    engines = [[{"backend": "torch", "precision": "fp32", "reason": "measured long ago"}]]
    write_json(manifest, read_json(manifest) | {"engines": engines})
    assert predict.main(command) == 0
    assert "chosen anew" not in capfd.readouterr().out
    assert read_json(manifest)["engines"] == engines


def test_a_folder_of_an_earlier_version_is_refused_in_words(command: list[str], manifest: Path, capfd) -> None:
    write_json(manifest, read_json(manifest) | {"schema": 2})
    assert predict.main(command) == 2
    told = capfd.readouterr().err
    assert "schema must be 3, not 2" in told
    assert "Predict into another folder" in told
