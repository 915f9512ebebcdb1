"""How much of a training step the way of normalising decides: pytest -m slow -s tests/benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.networks import build_network
from autoseg.networks.normalization import EPSILON, InstanceNorm, per_sample_norm
from autoseg.runtime.speed import probe_spec

Way = Callable[[InstanceNorm, Tensor], Tensor]
RUNS = 5


def of_torch(norm: InstanceNorm, x: Tensor) -> Tensor:
    return F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=EPSILON)


def per_sample(norm: InstanceNorm, x: Tensor) -> Tensor:
    return per_sample_norm(x, norm.weight, norm.bias)


WAYS: dict[str, tuple[Way, torch.memory_format]] = {
    "F.instance_norm, contiguous": (of_torch, torch.contiguous_format),
    "F.instance_norm, channels last": (of_torch, torch.channels_last_3d),
    "per sample, channels last": (per_sample, torch.channels_last_3d),
}


@pytest.mark.slow
def test_one_sample_at_a_time_is_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward and backward pass on two patches of 40x56x40, widths 16-32-64-128; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(1 + RUNS):
        for name, (way, memory_format) in WAYS.items():
            monkeypatch.setattr(InstanceNorm, "forward", way)
            seconds[name].append(step_seconds(memory_format))
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:36s} {median:.3f} s of processor time")
    assert medians["per sample, channels last"] == min(medians.values())


def step_seconds(memory_format: torch.memory_format) -> float:
    network = build_network(probe_spec()).to(memory_format=memory_format)
    image = torch.randn(2, 1, 40, 56, 40).contiguous(memory_format=memory_format)
    started = time.process_time()
    torch.stack([logits.square().mean() for logits in network(image)]).sum().backward()
    return time.process_time() - started
