"""OpenVINO: converts torch's graph directly, without ONNX; that of a network on disk is kept as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.errors import FileError, OptionError
from autoseg.files import atomic_path
from autoseg.inference.backends import IMAGE, LOGITS, Engine, EngineOptions
from autoseg.inference.backends.conversion import OPENVINO, converted_file, discard
from autoseg.inference.backends.network_file import NetworkFile
from autoseg.plans import Ints

if TYPE_CHECKING:
    from torch import nn

PRECISION_NAMES = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""Of what is not in int8 already."""


class OpenVinoBackend:
    """One stream over all threads, one window at a time: batches and parallel streams gained nothing that lasted."""

    packages: tuple[str, ...] = ("openvino",)
    precisions: tuple[str, ...] = ("fp32", "bf16", "int8")

    def compile(self, network: nn.Module | NetworkFile, options: EngineOptions) -> Engine:
        """An infer request for windows of a fixed size; see Backend."""
        openvino = imported()
        core = openvino.Core()
        if options.precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise OptionError("OpenVINO does not compute bf16 on this processor.", "Use --precision fp32.")
        spec: Any = network.spec
        model = calibrated_model(options) if options.precision == "int8" else _model(network, options)
        compiled = core.compile_model(model, "CPU", settings(options))
        return _Windows(compiled.create_infer_request(), (spec.out_channels, *options.patch_size))


def _model(network: nn.Module | NetworkFile, options: EngineOptions) -> Any:
    """OpenVINO's model of a network: that of one on disk is kept there, too."""
    if isinstance(network, NetworkFile):
        file = converted_file(network, OPENVINO, options.patch_size, memory_bytes=options.memory_bytes)
        if file is not None:
            try:
                return imported().Core().read_model(file)
            except RuntimeError:
                discard(file)
        network = network.load()
    return converted(network, options.patch_size)


def converted(network: nn.Module, patch_size: Ints) -> Any:
    """A network with its spec as OpenVINO's model, for one window of this size at a time."""
    from autoseg.inference.backends.tracing import traced

    spec: Any = network.spec
    return imported().convert_model(traced(network), input=[1, spec.in_channels, *patch_size])


def write_openvino(model: Any, path: Path) -> None:
    """Write OpenVINO's model as path (.xml) and, beside it, .bin; each whole or not at all.

    Its input and its output get the names that those of every exported network have.
    """
    model.input(0).set_names({IMAGE})
    model.output(0).set_names({LOGITS})
    with atomic_path(path) as temporary, atomic_path(path.with_suffix(".bin")) as values:
        assert values == temporary.with_suffix(".bin"), "OpenVINO itself names the file of the values"
        imported().save_model(model, temporary, compress_to_fp16=False)


def calibrated_model(options: EngineOptions) -> Any:
    """The model in int8 of these options. FileError where it is broken or made for other windows."""
    if options.calibrated is None:
        raise OptionError("There is no network in int8 here.", "Make one with autoseg_train --trainer int8.")
    try:
        model = imported().Core().read_model(options.calibrated)
        shape = tuple(model.input(0).shape)
    except RuntimeError as error:
        raise FileError(options.calibrated, "is no model of OpenVINO's.", "Make it again.") from error
    if shape[0] != 1 or shape[2:] != tuple(options.patch_size):
        raise FileError(
            options.calibrated, f"was made for windows {shape[2:]}, not {options.patch_size}.", "Make it again."
        )
    return model


def settings(options: EngineOptions) -> dict[str, Any]:
    """OpenVINO's properties. Threads are not pinned to cores: two commands would be pinned to the same ones."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": options.threads,
        "INFERENCE_PRECISION_HINT": PRECISION_NAMES[options.precision],
        "ENABLE_CPU_PINNING": False,
    }


def imported() -> Any:
    """The module openvino without its telemetry, which would report every import and conversion to its maker.

    openvino goes on without the package that sends where that cannot be imported.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


class _Windows:
    """Runs a batch window by window, reading and writing the arrays in place."""

    def __init__(self, request: Any, logits_shape: tuple[int, ...]) -> None:
        self._request = request
        self._logits_shape = logits_shape

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """(B, C, *patch) float32 to (B, K, *patch) float32."""
        batch = np.ascontiguousarray(batch, dtype=np.float32)
        logits = np.empty((len(batch), *self._logits_shape), dtype=np.float32)
        for number in range(len(batch)):
            self._request.set_input_tensor(_shared(batch[number : number + 1]))
            self._request.set_output_tensor(_shared(logits[number : number + 1]))
            self._request.infer()
        return logits


def _shared(window: np.ndarray) -> Any:
    return imported().Tensor(window, shared_memory=True)
