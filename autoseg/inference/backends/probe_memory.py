"""What trying engines takes of memory, told before a process is started for it."""

from __future__ import annotations

import math

import psutil

from autoseg.inference.backends.probe import BASELINE, ProbeRequest
from autoseg.inference.batches import FLOAT, NETWORK_FACTOR
from autoseg.networks.liveness import inference_values

CHILD_BYTES = 450 << 20
"""Of a process with torch, OpenVINO and ONNX Runtime before it computes."""
WEIGHT_COPIES = 4
"""Of an engine's weights: its own, the network that it was made of, and the graph in between."""
LOGITS_COPIES = 9
"""While logits are compared: two references, an engine's, and in doubles two and their difference."""


def needed_bytes(request: ProbeRequest) -> int:
    """What this process and the one that answers the request hold together, at most."""
    return int(psutil.Process().memory_info().rss) + probe_bytes(request)


def probe_bytes(request: ProbeRequest) -> int:
    """What a process holds at most that answers a request: its engines and the reference live side by side."""
    from autoseg.networks.cost import network_cost

    spec, patch_size = request.network, request.patch_size
    engines = {*request.candidates, BASELINE} if request.timed else {*request.candidates}
    maps = NETWORK_FACTOR * FLOAT * inference_values(spec, patch_size, request.batch_size)
    weights = WEIGHT_COPIES * FLOAT * network_cost(spec, patch_size, 1).parameters
    logits = FLOAT * request.batch_size * spec.out_channels * math.prod(patch_size)
    return round(CHILD_BYTES + (len(engines) + 1) * (maps + weights) + LOGITS_COPIES * logits)
