"""Threshold pruning: what falls below the threshold is zero for good, whatever trains the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from autoseg.compression.threshold_pruning import ThresholdOptions, ThresholdPruning, kept_weights, masks_of, spreads
from autoseg.compression.weights import convolution_weights, sparsity
from autoseg.errors import OptionError
from autoseg.networks import build_network
from autoseg.networks.storage import describe_stored, load_network, save_network
from autoseg.plans import LevelSpec, NetworkSpec
from autoseg.training.checkpoint import Checkpoints
from autoseg.training.hooks import LearningRate, WeightAverage
from autoseg.training.loop import Computation, Hook, RunLength, TrainingLoop
from autoseg.training.optimizers import OPTIMIZERS, find_optimizer

ONES, TWOS, THREES = (1, 1), (2, 2), (3, 3)
SPEC = NetworkSpec("unet", 2, 1, 2, (LevelSpec(ONES, THREES, (8, 8), (), 8, (8,)), LevelSpec(TWOS, THREES, (16,))))
QUICK = ThresholdOptions(start=0.05, step=0.05, end=0.15)


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


def make_loop(
    path: Path, optimizer: str = "muon", *, options: ThresholdOptions = QUICK, kill_at: int = 0
) -> TrainingLoop:
    torch.manual_seed(0)
    network = build_network(SPEC)
    network.deep_supervision = False
    average, masks = WeightAverage(network, 0.9), masks_of(network)
    hooks: list[Hook] = [LearningRate("cosine", 0.01), ThresholdPruning(options, masks, average), masks, average]
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
    assert ThresholdOptions().thresholds == (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
    assert ThresholdOptions(start=0.3, end=0.3).thresholds == (0.3,)
    assert ThresholdOptions(start=0.1, step=0.2, end=0.4).thresholds == (0.1, 0.3, 0.4)


def test_the_threshold_rises_evenly_and_settles() -> None:
    options = ThresholdOptions(0.1, 0.1, 0.4, settling=0.4)
    assert [options.threshold(progress) for progress in (0, 0.19, 0.21, 0.41, 0.59, 0.61, 1)] == [
        0.1, 0.1, 0.2, 0.3, 0.3, 0.4, 0.4,
    ]  # fmt: skip
    assert ThresholdOptions(settling=1.0).threshold(0) == 0.4


@pytest.mark.parametrize("wrong", [{"start": 0.0}, {"start": 0.5}, {"step": 0.0}, {"settling": 0.0}, {"least_kept": 2}])
def test_options_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        ThresholdOptions(**wrong)  # type: ignore[arg-type]


def test_weights_at_the_threshold_are_kept() -> None:
    weight = torch.tensor([[0.5, -0.5, 0.49, -0.2, 0.0]])
    assert kept_weights(weight, 0.5).tolist() == [[True, True, False, False, False]]


def test_a_layer_is_never_emptied() -> None:
    weight = torch.tensor([0.01, -0.03, 0.02, 0.0])
    assert kept_weights(weight, 1.0).tolist() == [False, True, False, False]
    assert kept_weights(weight, 1.0, least_kept=0.5).tolist() == [False, True, True, False]


def test_relative_thresholds_take_the_same_share_of_layers_of_any_scale() -> None:
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    for scale in (1.0, 0.01):
        spread = spreads({"w": weight * scale})["w"]
        assert spread == pytest.approx(scale, rel=0.1)
        assert kept_weights(weight * scale, spread).float().mean() == pytest.approx(0.317, abs=0.03)
    assert spreads({"w": torch.cat([weight, torch.zeros(3000)])})["w"] == pytest.approx(1.0, rel=0.1)
    assert spreads({"w": torch.zeros(3)}) == {"w": 0.0}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masked_weights_stay_zero_under_every_optimiser(optimizer: str, tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "checkpoint", optimizer)
    loop.run()
    masks = next(hook for hook in loop.hooks if isinstance(hook, ThresholdPruning)).masks.masks
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


def test_the_record_tells_threshold_and_sparsity(tmp_path: Path) -> None:
    noted: list[dict[str, float]] = []

    class Notes(Hook):
        def after_epoch(self, loop: TrainingLoop) -> None:
            noted.append(dict(loop.record.values))

    loop = make_loop(tmp_path / "checkpoint")
    loop.hooks.append(Notes())  # type: ignore[attr-defined]
    loop.run()
    assert [one["threshold"] for one in noted] == sorted(one["threshold"] for one in noted)
    assert noted[-1]["threshold"] == 0.15
    assert noted[-1]["sparsity"] == pytest.approx(sparsity(loop.network), abs=1e-4)


def test_what_is_stored_is_as_small_as_the_sparsity_promises(tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "checkpoint", options=ThresholdOptions(1.5, 1.0, 1.5, relative=True))
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
