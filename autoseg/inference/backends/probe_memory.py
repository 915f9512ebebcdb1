"""What trying engines takes of memory, told before a process is started for it."""

from __future__ import annotations

import math

import psutil

from autoseg.inference.backends.probe import BASELINE, ProbeRequest
from autoseg.inference.batches import FLOAT, NETWORK_FACTOR
from autoseg.networks.closed_form import parameter_count
from autoseg.networks.liveness import inference_values
from autoseg.plans import NetworkSpec

CHILD_BYTES = 450 << 20
"""Of a process with torch, OpenVINO and ONNX Runtime that tried tiny networks: 360 MiB were seen with one thread."""
WEIGHT_COPIES = 3
"""That an engine other than torch holds, with the graph and the file that it was made of; 2.6 were seen."""
MAP_COPIES = 1.5
"""That such an engine keeps of its live maps: OpenVINO 1.1 to 1.2, ONNX Runtime 1.6 to 2.0."""
LOGITS_COPIES = 10
"""While logits are compared: two references, an engine's in two places, and in doubles two and their difference."""


def needed_bytes(request: ProbeRequest) -> int:
    """What this process and the one that answers the request hold together, at most."""
    return int(psutil.Process().memory_info().rss) + probe_bytes(request)


def converting_bytes(spec: NetworkSpec) -> int:
    """What this process and one that converts a network hold together, at most."""
    return int(psutil.Process().memory_info().rss) + CHILD_BYTES + WEIGHT_COPIES * FLOAT * parameter_count(spec)


def probe_bytes(request: ProbeRequest) -> int:
    """What a process holds at most that answers a request.

    Its engines live side by side with the reference; those of torch, which lets go of its maps, share them with that.
    """
    spec, patch_size = request.network, request.patch_size
    engines = {*request.candidates, BASELINE} if request.timed else {*request.candidates}
    others = sum(one.backend != "torch" for one in engines)
    maps = NETWORK_FACTOR * FLOAT * inference_values(spec, patch_size, request.batch_size)
    weights = FLOAT * parameter_count(spec)
    networks = 1 + len(engines) - others + WEIGHT_COPIES * others
    logits = FLOAT * request.batch_size * spec.out_channels * math.prod(patch_size)
    return round(CHILD_BYTES + (1 + MAP_COPIES * others) * maps + networks * weights + LOGITS_COPIES * logits)
