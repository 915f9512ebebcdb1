"""torch itself: the reference, and the only engine on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.inference.arrays import Array
from autoseg.inference.backends import Engine, EngineOptions
from autoseg.inference.backends.network_file import NetworkFile, loaded
from autoseg.runtime import autocast, tell_torch
from autoseg.runtime.compiled import CompiledNetwork
from autoseg.runtime.gpu import make_ready

if TYPE_CHECKING:
    from torch import nn


class TorchBackend:
    """Runs the network as it is or compiled, in channels-last, with torch's own number of threads."""

    packages: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("fp32", "bf16")

    def compile(self, network: nn.Module | NetworkFile, options: EngineOptions) -> Engine:
        """The network on its device; see Backend."""
        import torch

        from autoseg.networks.normalization import CHANNELS_LAST

        kind: Any = CHANNELS_LAST[len(options.patch_size) + 2]
        tell_torch()
        make_ready(options.device)
        placed: Any = loaded(network, options.device)
        placed = placed.to(memory_format=kind).eval()
        computed = CompiledNetwork(placed) if options.compiled else placed

        def run(batch: Array) -> Array:
            on_cpu = isinstance(batch, np.ndarray)
            given = torch.from_numpy(np.ascontiguousarray(batch)).to(options.device) if on_cpu else batch
            with torch.inference_mode(), autocast(options.precision, options.device):
                logits = computed(given.contiguous(memory_format=kind)).float()
            return logits.cpu().numpy() if on_cpu else logits

        return run
