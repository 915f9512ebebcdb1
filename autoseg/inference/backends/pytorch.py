"""torch itself: the reference, and the only engine on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autoseg.inference.backends import Engine, EngineOptions
from autoseg.networks.normalization import CHANNELS_LAST
from autoseg.runtime import autocast
from autoseg.runtime.compiled import CompiledNetwork
from autoseg.runtime.gpu import make_ready


class TorchBackend:
    """Runs the network as it is or compiled, in channels-last, with torch's own number of threads."""

    packages: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("fp32", "bf16")

    def compile(self, network: nn.Module, options: EngineOptions) -> Engine:
        """The network on its device; see Backend."""
        kind: Any = CHANNELS_LAST[len(options.patch_size) + 2]
        placed: Any = network
        make_ready(options.device)
        placed = placed.to(options.device, memory_format=kind).eval()
        computed = CompiledNetwork(placed) if options.compiled else placed

        def run(batch: Tensor) -> Tensor:
            with torch.inference_mode(), autocast(options.precision, options.device):
                return computed(batch.contiguous(memory_format=kind)).float()

        return run
