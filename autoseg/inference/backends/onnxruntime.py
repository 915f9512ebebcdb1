"""ONNX Runtime, by way of torch's ONNX export, which needs the package onnx."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.inference.backends import IMAGE, LOGITS, Engine, EngineOptions
from autoseg.inference.backends.conversion import ONNX, converted_file, discard
from autoseg.inference.backends.network_file import NetworkFile

if TYPE_CHECKING:
    from torch import nn


class OnnxRuntimeBackend:
    """A session on the CPU, for any number of windows at a time."""

    packages: tuple[str, ...] = ("onnxruntime", "onnx")
    precisions: tuple[str, ...] = ("fp32",)

    def compile(self, network: nn.Module | NetworkFile, options: EngineOptions) -> Engine:
        """A session; see Backend."""
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = options.threads
        session_options.enable_mem_pattern = False  # a second block with all maps, beside those of the first window
        make = partial(onnxruntime.InferenceSession, sess_options=session_options, providers=["CPUExecutionProvider"])
        session = _session(network, options, make)

        def run(batch: np.ndarray) -> np.ndarray:
            return session.run([LOGITS], {IMAGE: np.ascontiguousarray(batch, dtype=np.float32)})[0]

        return run


def _session(network: nn.Module | NetworkFile, options: EngineOptions, make: Callable[[bytes | str], Any]) -> Any:
    """The session of a network in ONNX's format: that of one on disk is kept there, too. make: of a file or bytes."""
    if isinstance(network, NetworkFile):
        file = converted_file(network, ONNX, (), memory_bytes=options.memory_bytes)
        if file is not None:
            try:
                return make(str(file))
            except Exception:  # its errors have no common class of their own
                discard(file)
        network = network.load()
    return make(exported(network))


def exported(network: nn.Module) -> bytes:
    """The network in ONNX's format, with any batch size and any edges.

    By torch's older exporter: the newer one needs two packages more, and takes longer.
    """
    import torch

    from autoseg.inference.backends.tracing import small_image, traced

    spec: Any = network.spec
    axes = [0, *range(2, 2 + spec.dimensions)]
    file: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older one
        torch.onnx.export(
            traced(network),
            (small_image(network),),
            file,
            dynamo=False,
            input_names=[IMAGE],
            output_names=[LOGITS],
            dynamic_axes={IMAGE: axes, LOGITS: axes},
        )
    return file.getvalue()
