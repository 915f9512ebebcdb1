"""int8: calibrated on patches, kept with what it was made from, used only where it was accepted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg import load_model
from autoseg.compression import latency
from autoseg.compression.int8 import answer_to_phantom, calibrate
from autoseg.errors import FileError, OptionError
from autoseg.exporting.folder import Export, export_model
from autoseg.files import checksum, from_json, to_json
from autoseg.geometry import Geometry
from autoseg.inference.backends import EngineOptions, choice, find_backend
from autoseg.inference.backends.openvino import imported
from autoseg.inference.backends.probe import Candidate, ProbeRequest, answer, phantom, relative_error, seasoned_network
from autoseg.inference.calibration import Int8Record, find_int8, int8_files, read_int8_record, write_int8_record
from autoseg.inference.model_costs import model_costs
from autoseg.inference.model_files import read_model_files
from autoseg.inference.predictor import PredictionOptions
from autoseg.io import Volume
from autoseg.networks.storage import load_network
from autoseg.plans import LevelSpec, NetworkSpec

ONES, TWOS, THREES = (1, 1, 1), (2, 2, 2), (3, 3, 3)
SPEC = NetworkSpec("unet", 3, 1, 3, (LevelSpec(ONES, THREES, (16,), (), 16, (16,)), LevelSpec(TWOS, THREES, (16,))))
PATCH = (16, 12, 12)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "int8.xml"
    images = phantom(ProbeRequest((), SPEC, PATCH, 4, 1))
    calibrate(seasoned_network(SPEC), torch.from_numpy(images).split(1), PATCH, path)
    return path


@pytest.fixture
def model(tmp_path: Path, write_model) -> Path:
    """A model folder whose one network has an int8 form, accepted."""
    folder = tmp_path / "int8__plans__3d_fullres"
    write_model(folder)
    record_int8(folder / "fold_0" / "model.safetensors")
    return folder


def record_int8(weights: Path, /, **facts: object) -> Int8Record:
    network = load_network(weights)
    path, values = int8_files(weights)
    calibrate(network, torch.randn(4, 1, *PATCH).split(1), PATCH, path)
    answer = answer_to_phantom(network, path, PATCH)
    record = Int8Record(checksum(weights), checksum(path), checksum(values), 4, 0.8, 0.795, 0.01, answer)
    record = replace(record, **facts)
    write_int8_record(weights, record)
    return record


def test_logits_are_near_those_of_the_network(calibrated: Path) -> None:
    batch = phantom(ProbeRequest((), SPEC, PATCH, 2, 1))
    options = EngineOptions(PATCH, "int8", 1, calibrated=calibrated)
    with torch.inference_mode():
        expected = seasoned_network(SPEC)(torch.from_numpy(batch)).numpy()
    found = find_backend("openvino").compile(seasoned_network(SPEC), options)(batch)
    assert 1e-4 < relative_error(found, expected) < 0.2


def test_its_latency_is_its_own(calibrated: Path) -> None:
    request = latency.LatencyRequest((SPEC, str(calibrated)), "torch", "fp32", PATCH, 1, 1, "cpu")
    assert from_json(latency.LatencyRequest, to_json(request), "a child process") == request
    floats, int8 = latency.answer(request).seconds
    assert floats > 0
    assert int8 > 0
    with pytest.raises(FileError, match="was made for windows"):
        latency.answer(replace(request, patch_size=(8, 8, 8)))


def test_weights_take_a_byte_each(calibrated: Path) -> None:
    weights = sum(parameter.numel() for parameter in seasoned_network(SPEC).parameters())
    assert calibrated.with_suffix(".bin").stat().st_size < 1.3 * weights
    assert sorted(path.name for path in calibrated.parent.iterdir()) == ["int8.bin", "int8.xml"]


def test_it_is_made_for_windows_of_one_size(calibrated: Path) -> None:
    with pytest.raises(FileError, match=r"was made for windows \(16, 12, 12\)"):
        find_backend("openvino").compile(
            seasoned_network(SPEC), EngineOptions((8, 8, 8), "int8", 1, calibrated=calibrated)
        )


def test_its_input_and_output_have_the_names_that_exports_promise(model: Path, tmp_path: Path) -> None:
    files = read_model_files(model)
    export_model(files, Export("openvino", "int8"), tmp_path / "deployed", PredictionOptions())
    (path,) = (tmp_path / "deployed" / "networks").glob("*.xml")
    core = imported().Core()
    read = core.read_model(path)
    assert (read.input(0).get_names(), read.output(0).get_names()) == ({"image"}, {"logits"})
    network = core.compile_model(read, "CPU")
    window = np.zeros((1, 1, *PATCH), dtype=np.float32)
    assert network({"image": window})["logits"].shape == (1, 4, *PATCH)


def test_a_broken_file_is_named(calibrated: Path, tmp_path: Path) -> None:
    path = tmp_path / "int8.xml"
    path.write_bytes(calibrated.read_bytes()[:-200])
    with pytest.raises(FileError, match=r"int8.xml: is no model"):
        find_backend("openvino").compile(seasoned_network(SPEC), EngineOptions(PATCH, "int8", 1, calibrated=path))
    with pytest.raises(OptionError, match="no network in int8"):
        find_backend("openvino").compile(seasoned_network(SPEC), EngineOptions(PATCH, "int8", 1))


def test_without_patches_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs patches"):
        calibrate(seasoned_network(SPEC), [], PATCH, tmp_path / "int8.xml")
    assert not list(tmp_path.iterdir())


def test_nothing_is_sent_and_nothing_printed(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
import torch
from autoseg.compression.int8 import calibrate
from autoseg.inference.backends.probe import seasoned_network
from autoseg.plans import LevelSpec, NetworkSpec
spec = NetworkSpec("unet", 2, 1, 2, (LevelSpec((1, 1), (3, 3), (8,)),))
calibrate(seasoned_network(spec), [torch.randn(1, 1, 8, 8)], (8, 8), Path({str(tmp_path / "int8.xml")!r}))
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are tried in this process, for time's sake."""
    monkeypatch.setattr(choice, "ask", lambda request: answer(request).trials)


@pytest.mark.usefixtures("here")
def test_a_model_predicts_in_int8(model: Path) -> None:
    volume = Volume(
        np.random.default_rng(0).normal(size=(1, 20, 17, 19)).astype(np.float32), Geometry((20, 17, 19), (1.5,) * 3)
    )
    found = load_model(model, precision="int8", device="cpu")
    assert [(one.backend, one.precision) for one in found.choices] == [("openvino", "int8")]
    labels, exact = (one.predict_volume(volume).array for one in (found, load_model(model, backend="torch")))
    assert 0.8 < (labels == exact).mean() < 1


@pytest.mark.usefixtures("here")
def test_its_size_is_of_all_the_files_that_prediction_needs(model: Path) -> None:
    files = read_model_files(model)
    ((weights,),) = files.weights
    needed = [weights, *int8_files(weights)]
    assert model_costs(files, "int8", PredictionOptions()).bytes == sum(path.stat().st_size for path in needed)
    assert model_costs(files, "fp32", PredictionOptions()).bytes == weights.stat().st_size
    for path in needed:
        away = path.rename(path.with_suffix(".away"))
        with pytest.raises(FileError):
            load_model(model, precision="int8", device="cpu")
        away.rename(path)
    assert load_model(model, precision="int8", device="cpu").choices[0].precision == "int8"


def test_auto_tries_it_where_it_was_accepted(model: Path) -> None:
    (int8,) = find_int8([model / "fold_0" / "model.safetensors"])
    assert Candidate("openvino", "int8") in choice.possible("auto", "auto", has_int8=True)
    assert Candidate("openvino", "int8") not in choice.possible("auto", "auto")
    assert Candidate("openvino", "int8") not in choice.possible("auto", "fp32", has_int8=True)
    network = load_network(model / "fold_0" / "model.safetensors").spec
    task = choice.Task(network, PATCH, 1, 1, 1e9, int8)
    (trial,) = answer(task.request([Candidate("openvino", "int8")], timed=True)).trials
    assert trial.refusal == ""
    assert trial.seconds > 0


def test_a_machine_that_computes_something_else_refuses_it(model: Path) -> None:
    (int8,) = find_int8([model / "fold_0" / "model.safetensors"])
    other = replace(int8, answer=tuple(1.3 * value for value in int8.answer))
    network = load_network(model / "fold_0" / "model.safetensors").spec
    request = choice.Task(network, PATCH, 1, 1, 1.0, other).request([Candidate("openvino", "int8")], timed=False)
    assert "off by" in answer(request).trials[0].refusal


@pytest.mark.parametrize("facts", [{"dice_after": 0.78}, {"dice_after": None}, {"weights": "0" * 64}], ids=str)
def test_what_was_not_accepted_is_not_used(facts: dict[str, object], tmp_path: Path, write_model) -> None:
    folder = tmp_path / "int8__plans__3d_fullres"
    write_model(folder)
    record_int8(folder / "fold_0" / "model.safetensors", **facts)
    assert find_int8([folder / "fold_0" / "model.safetensors"]) == ()
    with pytest.raises(OptionError, match="no network in int8 that was accepted"):
        load_model(folder, precision="int8", device="cpu")
    assert load_model(folder, device="cpu").choices[0].precision == "fp32"


def test_every_fold_needs_it(tmp_path: Path, write_model) -> None:
    folder = tmp_path / "int8__plans__3d_fullres"
    write_model(folder, folds=("0", "1"))
    record_int8(folder / "fold_0" / "model.safetensors")
    assert find_int8([folder / f"fold_{fold}" / "model.safetensors" for fold in (0, 1)]) == ()


def test_values_that_were_exchanged_are_noticed(model: Path) -> None:
    weights = model / "fold_0" / "model.safetensors"
    values = int8_files(weights)[1]
    values.write_bytes(values.read_bytes()[::-1])
    with pytest.raises(FileError, match=r"int8.bin: is not the file that int8.json tells of"):
        read_int8_record(weights)
