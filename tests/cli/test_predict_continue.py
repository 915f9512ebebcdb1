"""autoseg_predict --continue: without torch where nothing is left, and with engines of its own on another device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import predict
from autoseg.files import read_json, write_json
from autoseg.geometry import Geometry
from autoseg.inference.manifest import MANIFEST
from autoseg.io import Volume, write_image

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
