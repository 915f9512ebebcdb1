"""How many windows a network computes at a time, and what memory that takes."""

from __future__ import annotations

import math

from autoseg.networks.liveness import inference_values
from autoseg.plans import StagePlan
from autoseg.runtime.gpu import free_memory_bytes, is_gpu

FLOAT = 4
NETWORK_FACTOR = 1.15
"""Of convolutions: copies in a library's own layout. 64^3 to 128^3 in fp32 took 1.02 to 1.15 times the live maps."""
HALVES = ("bf16", "fp16")
"""Precisions in which maps take half."""
BATCHED_VOXELS = 64**3
"""Of a patch on a CPU; two larger ones save less time and take more memory."""
GPU_BATCHED_VOXELS = 4 * 128**3
"""Of a batch on a GPU, which more than fills it; reasoned, not measured."""
GPU_SHARE = 0.25
"""Of a GPU's free memory, for a batch; the rest is for the sums of logits and what libraries take."""


def usual_batch_size(stage: StagePlan, device: str) -> int:
    """Windows per call of the network: for slices the batch of training; two small volumes on a CPU, else one.

    torch computes a small 3D convolution of a single sample without its fast library. Per window of 40^3, 56^3, 64^3
    and 96^3 in fp32 a batch of two took .59, .86, .78 and .85 of the processor time, a batch of four no less.
    On a GPU, as many as fit, see gpu_batch_size.
    """
    if is_gpu(device):
        return gpu_batch_size(stage, free_memory_bytes(device))
    if stage.is_2d:
        return stage.batch_size
    return 2 if device == "cpu" and math.prod(stage.patch_size) <= BATCHED_VOXELS else 1


def gpu_batch_size(stage: StagePlan, free_bytes: int) -> int:
    """The largest power of two up to GPU_BATCHED_VOXELS that takes at most GPU_SHARE of the free memory; at least 1.

    Memory is that of flips in fp32, whatever is asked for. A batch that turns out too large is halved on the way.
    """
    batch_size = 1
    while 2 * batch_size * math.prod(stage.patch_size) <= GPU_BATCHED_VOXELS:
        if pass_bytes(stage, 2 * batch_size) > GPU_SHARE * free_bytes:
            break
        batch_size *= 2
    return batch_size


def pass_bytes(stage: StagePlan, batch_size: int, *, precision: str = "fp32", several: bool = True) -> int:
    """What a batch takes: live maps; with several passes (flips, folds) the sum so far, this one's logits, a copy.

    In int8 what lies between convolutions is fp32.
    """
    maps = NETWORK_FACTOR * FLOAT * inference_values(stage.network, stage.patch_size, batch_size)
    logits = logits_bytes(stage, batch_size, several=False)
    if precision in HALVES:
        maps = maps / 2 + logits
    return round(max(maps + 2 * logits, 4 * logits) if several else maps)


def logits_bytes(stage: StagePlan, batch_size: int, *, several: bool) -> int:
    """What a batch takes besides the network's maps; with several passes the sums of flips and folds, and copies."""
    return (4 if several else 1) * FLOAT * batch_size * stage.network.out_channels * math.prod(stage.patch_size)
