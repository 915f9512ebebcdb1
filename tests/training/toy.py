"""A problem small enough to train in milliseconds: fit a linear map, batches a pure function of their index."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from autoseg.training.hooks import LearningRate, WeightAverage
from autoseg.training.loop import Computation, Hook, RunLength, TrainingLoop


@dataclass
class ToyBatch:
    image: torch.Tensor
    target: torch.Tensor


def batches(start: int) -> Iterator[ToyBatch]:
    index = start
    while True:
        generator = torch.Generator().manual_seed(index)
        image = torch.randn(4, 3, generator=generator)
        yield ToyBatch(image, image @ torch.tensor([[1.0], [2.0], [3.0]]))
        index += 1


def make_loop(length: RunLength, extra_hooks: list[Hook] | None = None, decay: float = 0.9) -> TrainingLoop:
    torch.manual_seed(7)
    network = nn.Linear(3, 1)
    average = WeightAverage(network, decay)
    return TrainingLoop(
        network,
        nn.functional.mse_loss,
        torch.optim.AdamW(network.parameters(), 0.1),
        batches=batches,
        length=length,
        computation=Computation("cpu", contextlib.nullcontext, clip_norm=10.0),
        hooks=[LearningRate("cosine", 0.1, warmup_iterations=3), average, *(extra_hooks or [])],
    )


def averaged(loop: TrainingLoop) -> nn.Module:
    return next(hook.network for hook in loop.hooks if isinstance(hook, WeightAverage))
