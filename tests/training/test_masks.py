"""Masked weights stay zero, and the rest learns as if they were not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from autoseg.training.checkpoint import Checkpoints
from autoseg.training.hooks import WeightAverage
from autoseg.training.loop import Computation, RunLength, TrainingLoop
from autoseg.training.masks import Masks
from autoseg.training.optimizers import OPTIMIZERS

WIDTH, GONE = 6, [1, 4]
STAY = [0, 2, 3, 5]


def network(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, WIDTH), nn.LeakyReLU(0.01), nn.Linear(WIDTH, 2)).double()


def masks() -> dict[str, torch.Tensor]:
    """Of the hidden units that are gone: what writes them and what reads them."""
    found = {name: torch.ones_like(value, dtype=torch.bool) for name, value in network().named_parameters()}
    found["0.weight"][GONE] = found["0.bias"][GONE] = found["2.weight"][:, GONE] = False
    del found["2.bias"]
    return found


def batches(start: int) -> Iterator[Any]:
    index = start
    while True:
        generator = torch.Generator().manual_seed(index)
        image = torch.randn(4, 3, generator=generator).double()
        yield SimpleNamespace(image=image, target=image[:, :2] * 3)
        index += 1


def loop_of(trained: Any, optimizer: str, hooks: list, epochs: int = 2) -> TrainingLoop:
    choice = OPTIMIZERS[optimizer]
    return TrainingLoop(
        trained,
        nn.functional.mse_loss,
        choice.make(list(trained.parameters()), 0.05),
        batches=batches,
        length=RunLength(4, epochs),
        computation=Computation("cpu", contextlib.nullcontext, clip_norm=1.0),
        hooks=hooks,
    )


def of_masked(values: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([values[name][~mask] for name, mask in masks().items()])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_average_and_memory_of_the_optimiser_stay_zero(optimizer: str) -> None:
    trained = network()
    average = WeightAverage(trained, 0.9)
    with torch.no_grad():
        for parameter in average.network.parameters():
            parameter.zero_()
    loop = loop_of(trained, optimizer, [Masks(masks()), average])
    loop.run()
    names = {parameter: name for name, parameter in trained.named_parameters()}
    assert not of_masked(dict(trained.named_parameters())).any()
    assert not of_masked(dict(average.network.named_parameters())).any()
    for parameter, state in loop.optimizer.state.items():
        mask = masks().get(names[parameter])
        for value in state.values():
            if mask is not None and isinstance(value, torch.Tensor) and value.shape == mask.shape:
                assert not value[~mask].any()
                assert value[mask].any()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "novograd"])
def test_the_masked_network_learns_what_the_cut_one_does(optimizer: str) -> None:
    masked = network()
    smaller = nn.Sequential(nn.Linear(3, len(STAY)), nn.LeakyReLU(0.01), nn.Linear(len(STAY), 2)).double()
    with torch.no_grad():
        smaller[0].weight.copy_(masked[0].weight[STAY])
        smaller[0].bias.copy_(masked[0].bias[STAY])
        smaller[2].weight.copy_(masked[2].weight[:, STAY])
        smaller[2].bias.copy_(masked[2].bias)
    loop_of(masked, optimizer, [Masks(masks())]).run()
    loop_of(smaller, optimizer, []).run()
    torch.testing.assert_close(masked[0].weight[STAY], smaller[0].weight)
    torch.testing.assert_close(masked[2].weight[:, STAY], smaller[2].weight)
    assert not torch.equal(masked[2].bias, network()[2].bias)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_that_goes_on_keeps_its_masks(tmp_path: Path, optimizer: str) -> None:
    whole = network()
    loop_of(whole, optimizer, [Masks(masks())]).run()
    path = tmp_path / "checkpoint.safetensors"
    loop_of(network(), optimizer, [Masks(masks()), Checkpoints(path, {})], epochs=1).run()
    others = {name: torch.ones_like(mask) for name, mask in masks().items()}
    resumed = network(seed=1)
    loop_of(resumed, optimizer, [Masks(others), Checkpoints(path, {})]).run()
    for expected, got in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, got)
    assert not of_masked(dict(resumed.named_parameters())).any()


def test_afterwards_gradients_are_whole_again() -> None:
    trained = network()
    loop_of(trained, "sgd", [Masks(masks())], epochs=1).run()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.fill_(0.5)
    trained.zero_grad()
    trained(torch.ones(1, 3).double()).sum().backward()
    assert trained[0].weight.grad[GONE].all()
