"""Every backend against torch in fp32 and channels-first, which is exact."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg import load_model
from autoseg.errors import OptionError
from autoseg.geometry import Geometry
from autoseg.inference import backends
from autoseg.inference.backends import BACKENDS, INSTALL, EngineOptions, choice, find_backend, installed_backends
from autoseg.inference.backends.probe import ProbeRequest, answer, phantom, relative_error, seasoned_network
from autoseg.io import Volume
from autoseg.plans import Ints, LevelSpec, NetworkSpec
from autoseg.runtime.precision import has_bf16_instructions

OTHERS = [name for name in BACKENDS if name != "torch"]


def spec_of(architecture: str, dimensions: int, in_channels: int, *, axis_0_stride: int = 2) -> NetworkSpec:
    stride = (axis_0_stride, 2, 2)[-dimensions:]
    levels = [
        LevelSpec(
            stride=stride if number else (1,) * dimensions,
            kernel=(3,) * dimensions,
            encoder_widths=(width, width),
            inner_widths=(width, width) if architecture == "residual_unet" else (),
            upsampled_width=width if number < 2 else None,
            decoder_widths=(width,) if number < 2 else (),
        )
        for number, width in enumerate((5, 8, 12))
    ]
    return NetworkSpec(architecture, dimensions, in_channels, 3, tuple(levels))


NETWORKS: dict[str, tuple[NetworkSpec, Ints]] = {
    "2d": (spec_of("unet", 2, 1), (24, 16)),
    "3d": (spec_of("unet", 3, 2), (8, 16, 12)),
    "anisotropic": (spec_of("unet", 3, 1, axis_0_stride=1), (3, 16, 12)),
    "single voxel at the bottom": (spec_of("unet", 3, 1), (4, 4, 4)),
    "residual 2d": (spec_of("residual_unet", 2, 1), (24, 16)),
    "residual 3d": (spec_of("residual_unet", 3, 1), (8, 16, 12)),
    "cascade": (spec_of("residual_unet", 3, 4), (8, 8, 8)),
}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("spec", "patch"), NETWORKS.values(), ids=NETWORKS)
def test_logits_are_those_of_torch(name: str, spec: NetworkSpec, patch: Ints) -> None:
    network = seasoned_network(spec)
    batch = phantom(ProbeRequest((), spec, patch, batch_size=3, threads=1))
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).numpy()
    engine = find_backend(name).compile(copy.deepcopy(network), EngineOptions(patch, "fp32", threads=1))
    found = engine(np.flip(batch, -1))
    assert relative_error(engine(batch), expected) < 1e-3
    assert relative_error(engine(batch[:1]), expected[:1]) < 1e-3
    assert found.dtype == np.float32
    assert relative_error(found, expected) > 0.01, "a later call does not write into what an earlier one gave"


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("configuration", ["2d", "3d_cascade"])
def test_volumes_get_the_same_labels(
    name: str, configuration: str, write_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "ask", lambda request: answer(request).trials)  # here, for time's sake
    folder = tmp_path / f"model__{configuration}"
    write_model(folder, configuration=configuration, folds=("0", "1"))
    geometry = Geometry((22, 17, 19), (1.2, 1.6, 1.4), (3.0, -4.0, 5.0))
    volume = Volume(np.random.default_rng(0).normal(size=(1, 22, 17, 19)).astype(np.float32), geometry)
    found = {}
    for backend in ("torch", name):
        model = load_model(folder, backend=backend, precision="fp32", device="cpu", flips="all")
        assert {one.backend for one in model.choices} == {backend}
        found[backend] = model.predict_volume(volume).array
    assert len(np.unique(found["torch"])) > 1
    np.testing.assert_array_equal(found[name], found["torch"])


def test_openvino_is_imported_without_its_telemetry() -> None:
    code = "from autoseg.inference.backends.openvino import imported; imported(); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names = done.stdout.split()
    assert "openvino.tools.ovc.telemetry_stub" in names
    assert not [name for name in names if name.startswith("openvino_telemetry.")]


def test_what_is_not_installed_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda package: None)
    assert installed_backends() == ["torch"]
    with pytest.raises(OptionError, match="onnxruntime and onnx, which are not installed") as caught:
        find_backend("onnxruntime")
    assert INSTALL in caught.value.remedy
    with pytest.raises(OptionError, match=r"no backend 'tensorrt'.*onnxruntime, openvino, torch"):
        find_backend("tensorrt")


@pytest.mark.skipif(has_bf16_instructions(), reason="this processor computes bf16")
def test_openvino_does_not_pass_fp32_off_as_bf16() -> None:
    spec, patch = NETWORKS["2d"]
    with pytest.raises(OptionError, match="does not compute bf16 on this processor"):
        find_backend("openvino").compile(seasoned_network(spec), EngineOptions(patch, "bf16", threads=1))
