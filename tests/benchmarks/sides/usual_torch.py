"""An engine that computes as nnU-Net does on a CPU: torch in fp32, eager, channels first.

PYTHONPATH=tests/benchmarks/sides autoseg_compare DATASET --trade-off --backends usual_torch:UsualTorch openvino
holds what compression gains against it, on the same windows, in processes that do everything else alike.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from autoseg.inference.backends import Engine, EngineOptions
from autoseg.inference.backends.network_file import NetworkFile, loaded
from autoseg.runtime import tell_torch


class UsualTorch:
    """A backend (autoseg.inference.backends.Backend) in torch's usual order of memory."""

    packages: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("fp32",)

    def compile(self, network: nn.Module | NetworkFile, options: EngineOptions) -> Engine:
        """The network as it is."""
        tell_torch()
        placed = loaded(network).eval()

        def run(batch: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return placed(torch.from_numpy(np.ascontiguousarray(batch))).numpy()

        return run
