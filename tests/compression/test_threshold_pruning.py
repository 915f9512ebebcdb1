"""Threshold pruning: what falls below the threshold is zero for good, whatever trains the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from autoseg.compression.threshold_pruning import kept_weights, spread, threshold_masks, thresholds, zero_masked
from autoseg.compression.weights import convolution_weights, sparsity
from autoseg.networks import build_network
from autoseg.networks.storage import describe_stored, load_network, save_network
from autoseg.plans import LevelSpec, NetworkSpec
from autoseg.training.checkpoint import Checkpoints
from autoseg.training.hooks import LearningRate, WeightAverage
from autoseg.training.loop import Computation, Hook, RunLength, TrainingLoop
from autoseg.training.masks import Masks
from autoseg.training.optimizers import OPTIMIZERS, find_optimizer

ONES, TWOS, THREES = (1, 1), (2, 2), (3, 3)
SPEC = NetworkSpec("unet", 2, 1, 2, (LevelSpec(ONES, THREES, (8, 8), (), 8, (8,)), LevelSpec(TWOS, THREES, (16,))))
THRESHOLD = 0.1


@dataclass
class Batch:
    image: torch.Tensor
    target: torch.Tensor


def batches(start: int) -> Iterator[Batch]:
    index = start
    while True:
        image = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(index))
        yield Batch(image, (image > 0).long()[:, 0])
        index += 1


class Kill(Hook):
    """Stands for a SIGKILL after so many iterations."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_step(self, loop: TrainingLoop) -> None:
        if loop.iteration == self.iteration:
            raise KeyboardInterrupt


def make_loop(path: Path, optimizer: str = "muon", *, threshold: float = THRESHOLD, kill_at: int = 0) -> TrainingLoop:
    torch.manual_seed(0)
    network = build_network(SPEC)
    network.deep_supervision = False
    masks = threshold_masks(network, threshold, relative=False)
    zero_masked(network, masks)
    hooks: list[Hook] = [Masks(masks), LearningRate("cosine", 0.01), WeightAverage(network, 0.9)]
    hooks += [Kill(kill_at), Checkpoints(path, {})]
    return TrainingLoop(
        network,
        nn.functional.cross_entropy,
        find_optimizer(optimizer).make(list(network.parameters()), 0.01),
        batches=batches,
        length=RunLength(2, epochs=6),
        computation=Computation("cpu", contextlib.nullcontext, clip_norm=1.0),
        hooks=hooks,
    )


def averaged(loop: TrainingLoop) -> nn.Module:
    return next(hook.network for hook in loop.hooks if isinstance(hook, WeightAverage))


def test_thresholds_of_the_thesis() -> None:
    assert thresholds(0.1, 0.05, 0.4) == (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
    assert thresholds(0.3, 0.05, 0.3) == (0.3,)
    assert thresholds(0.1, 0.2, 0.4) == (0.1, 0.3, 0.4)


def test_weights_at_the_threshold_are_kept() -> None:
    weight = torch.tensor([[0.5, -0.5, 0.49, -0.2, 0.0]])
    assert kept_weights(weight, 0.5).tolist() == [[True, True, False, False, False]]


def test_a_layer_is_never_emptied() -> None:
    weight = torch.tensor([0.01, -0.03, 0.02, 0.0])
    assert kept_weights(weight, 1.0).tolist() == [False, True, False, False]
    assert kept_weights(weight, 1.0, least_kept=0.5).tolist() == [False, True, True, False]
    pruned = torch.tensor([0.0, 0.0, 0.0, 0.5])
    assert kept_weights(pruned, 1.0, least_kept=0.75).tolist() == [False, False, False, True], "what is zero stays zero"


def test_relative_thresholds_take_the_same_share_of_layers_of_any_scale() -> None:
    network = nn.Sequential(nn.Conv2d(30, 30, 3), nn.ConvTranspose2d(30, 30, 3))
    shares = {}
    for scale in (1.0, 0.01):
        with torch.no_grad():
            network[0].weight.normal_(0, 1, generator=torch.Generator().manual_seed(0))
            network[1].weight.normal_(0, scale, generator=torch.Generator().manual_seed(1))
        assert spread(network[1].weight.detach()) == pytest.approx(scale, rel=0.1)
        masks = threshold_masks(network, 1.0, relative=True)
        shares[scale] = [float(masks[f"{number}.weight"].float().mean()) for number in (0, 1)]
    assert shares[1.0] == pytest.approx([0.317, 0.317], abs=0.02), "of a normal distribution beyond one deviation"
    assert shares[0.01] == pytest.approx(shares[1.0])
    assert threshold_masks(network, 1.0, relative=False)["1.weight"].float().mean() == pytest.approx(0.01, abs=0.001)


def test_what_was_zero_stays_so_at_every_threshold() -> None:
    network = build_network(SPEC)
    first = threshold_masks(network, 0.1, relative=True)
    zero_masked(network, first)
    before = sparsity(network)
    second = threshold_masks(network, 0.4, relative=True)
    zero_masked(network, second)
    assert all(not (second[name] & ~first[name]).any() for name in first)
    assert sparsity(network) > before > 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masked_weights_stay_zero_under_every_optimiser(optimizer: str, tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "checkpoint", optimizer)
    loop.run()
    masks = next(hook for hook in loop.hooks if isinstance(hook, Masks)).masks
    weights, mean = convolution_weights(loop.network), convolution_weights(averaged(loop))
    assert 0.3 < sparsity(loop.network) < 0.9
    for name, mask in masks.items():
        assert not weights[name][~mask].any()
        assert not mean[name][~mask].any()
        assert mean[name][mask].all()
        for value in loop.optimizer.state[weights[name]].values():
            if isinstance(value, torch.Tensor) and value.shape == mask.shape:
                assert not value[~mask].any()


def test_the_others_are_trained_on(tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "checkpoint")
    before = {name: weight.clone() for name, weight in convolution_weights(loop.network).items()}
    loop.run()
    for name, weight in convolution_weights(loop.network).items():
        kept = weight != 0
        assert (weight[kept] != before[name][kept]).any() or "heads" in name


@pytest.mark.parametrize("kill_at", [1, 5, 9])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(kill_at: int, tmp_path: Path) -> None:
    whole = make_loop(tmp_path / "whole")
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        make_loop(tmp_path / "stopped", kill_at=kill_at).run()
    continued = make_loop(tmp_path / "stopped")
    continued.run()
    for one, other in ((whole.network, continued.network), (averaged(whole), averaged(continued))):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert sparsity(averaged(continued)) > 0.3


def test_what_is_stored_is_as_small_as_the_sparsity_promises(tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "checkpoint", threshold=0.3)
    loop.run()
    network, path = averaged(loop), tmp_path / "model.safetensors"
    save_network(path, network)
    stored = {one.name: one for one in describe_stored(path).tensors}
    for name, weight in convolution_weights(network).items():
        if stored[name].layout is not None:
            kept = int((weight != 0).sum())
            assert stored[name].layout.stored == kept
            assert stored[name].bytes <= -(-weight.numel() // 8) + 4 * kept
    assert sum(one.layout is not None for one in stored.values()) > 3
    assert sparsity(load_network(path)) == sparsity(network)
