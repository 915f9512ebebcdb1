"""ONNX Runtime, by way of torch's ONNX export, which needs the package onnx."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.inference.backends import Engine, EngineOptions
from autoseg.inference.backends.tracing import IMAGE, LOGITS, small_image, traced


class OnnxRuntimeBackend:
    """A session on the CPU, for any number of windows at a time."""

    packages: tuple[str, ...] = ("onnxruntime", "onnx")
    precisions: tuple[str, ...] = ("fp32",)

    def compile(self, network: nn.Module, options: EngineOptions) -> Engine:
        """A session; see Backend."""
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = options.threads
        session_options.enable_mem_pattern = False  # a second block with all maps, beside those of the first window
        session = onnxruntime.InferenceSession(exported(network), session_options, providers=["CPUExecutionProvider"])

        def run(batch: Tensor) -> Tensor:
            return torch.from_numpy(session.run([LOGITS], {IMAGE: batch.contiguous().numpy()})[0])

        return run


def exported(network: nn.Module) -> bytes:
    """The network in ONNX's format, with any batch size and any edges.

    By torch's older exporter: the newer one needs two packages more, and takes longer.
    """
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
