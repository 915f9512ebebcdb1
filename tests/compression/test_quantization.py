"""Quantisation: the forward pass sees levels, the gradient reaches the full weights, and what is kept is on levels."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.compression.quantization import QuantizationOptions, bake, best_ranges, quantize
from autoseg.compression.weights import convolution_weights
from autoseg.errors import OptionError
from autoseg.networks import build_network
from autoseg.networks.levels import Grid
from autoseg.networks.storage import describe_stored, load_network, save_network
from autoseg.plans import LevelSpec, NetworkSpec
from autoseg.training.hooks import WeightAverage

ONES, TWOS, THREES = (1, 1, 1), (2, 2, 2), (3, 3, 3)
SPEC = NetworkSpec(
    "residual_unet",
    3,
    1,
    2,
    (LevelSpec(ONES, THREES, (8,), (8,), 12, (8,)), LevelSpec(TWOS, THREES, (16,), (16,))),
)
OPTIONS = [QuantizationOptions(levels, reach) for levels in (2, 3, 7, 15, 31) for reach in (None, 0.45)]


def made(options: QuantizationOptions | None = None, *, pruned: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    network = build_network(SPEC)
    with torch.no_grad():
        for weight in convolution_weights(network).values():
            weight[weight.abs() < pruned] = 0
    if options is not None:
        quantize(network, options)
    return network


def trained(network: nn.Module, steps: int = 3) -> WeightAverage:
    """A few steps, with averaged weights."""
    optimizer, average = torch.optim.AdamW(network.parameters(), 0.02), WeightAverage(network, 0.9)
    for step in range(steps):
        image = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(step))
        loss = network(image)[0].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean, own = dict(average.network.named_parameters()), dict(network.named_parameters())
        with torch.no_grad():
            for name in mean:
                mean[name].lerp_(own[name], 0.5)
    return average


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_weight_is_on_a_level_after_training(options: QuantizationOptions) -> None:
    average = trained(made(options))
    grids = bake(average.network)
    weights = convolution_weights(average.network)
    assert grids.keys() == weights.keys()
    for name, weight in weights.items():
        values = weight.detach().numpy()
        assert grids[name].codes(values) is not None
        assert (grids[name].codes(values)[values != 0] < options.levels).all()
        if options.range is not None:
            assert len(np.unique(values)) <= options.levels
            assert np.abs(values).max() <= np.float32(options.range)


def test_biases_and_normalisations_are_trained_in_full() -> None:
    network = made()
    before = {name: p.detach().clone() for name, p in network.named_parameters() if p.ndim == 1}
    quantize(network, QuantizationOptions(3))
    trained(network)
    bake(network)
    after = {name: p for name, p in network.named_parameters() if p.ndim == 1}
    assert before.keys() == after.keys()
    assert any((after[name] != before[name]).any() for name in before)
    assert all(len(p.unique()) > 3 for name, p in after.items() if name.endswith("norm.bias"))


def test_the_gradient_is_that_of_the_rounded_weights() -> None:
    rounded = made(QuantizationOptions(7))
    plain = copy.deepcopy(rounded)
    bake(plain)
    image = torch.randn(1, 1, 8, 8, 8)
    for network in (rounded, plain):
        network(image)[0].square().sum().backward()
    expected = {name: weight.grad for name, weight in convolution_weights(plain).items()}
    modules = dict(rounded.named_modules())
    for name, gradient in expected.items():
        found = modules[name.removesuffix(".weight")].layer.weight.grad
        torch.testing.assert_close(found, gradient)


def test_small_steps_of_the_full_weights_add_up() -> None:
    """What rounding hides from one step to the next is not lost."""
    layer = nn.Sequential(nn.Conv3d(1, 1, 1, bias=False))
    nn.init.constant_(layer[0].weight, 0.1)
    quantize(layer, QuantizationOptions(3, 1.0))
    optimizer, seen = torch.optim.SGD(layer.parameters(), 0.1), []
    for _ in range(6):
        seen.append(float(layer[0].weight.detach().squeeze()))
        optimizer.zero_grad()
        (-layer(torch.ones(1, 1, 1, 1, 1)).sum()).backward()
        optimizer.step()
    assert seen in ([0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1]), "0.5 may be rounded either way"


@pytest.mark.parametrize("levels", [2, 15])
def test_pruned_weights_stay_zero(levels: int) -> None:
    network = made(pruned=0.1)
    zeros = {name: weight == 0 for name, weight in convolution_weights(network).items()}
    quantize(network, QuantizationOptions(levels))
    average = trained(network)
    for one in (network, average.network):
        bake(one)
        for name, weight in convolution_weights(one).items():
            assert not weight[zeros[name]].any()
    assert any(mask.any() for mask in zeros.values())


def test_a_checkpoint_holds_everything() -> None:
    network, other = made(QuantizationOptions(7), pruned=0.1), made(pruned=0.2)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(2)
    quantize(other, QuantizationOptions(7))
    trained(network)
    other.load_state_dict(network.state_dict())
    assert {name: grid.ranges.tolist() for name, grid in bake(network).items()} == {
        name: grid.ranges.tolist() for name, grid in bake(other).items()
    }
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("pruned", [0.0, 0.1])
def test_stored_in_few_bits_and_loaded_exactly(options: QuantizationOptions, pruned: float, tmp_path: Path) -> None:
    network = made(pruned=pruned)
    quantize(network, options)
    trained(network)
    grids, path = bake(network), tmp_path / "model.safetensors"
    save_network(path, network, grids)
    loaded = load_network(path)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))
    bits = (options.levels - 1).bit_length()
    for one in describe_stored(path).tensors:
        if one.layout is not None and one.layout.levels:
            assert one.bytes <= 4 * len(grids[one.name].ranges) + -(-one.count * (bits + bool(pruned)) // 8)
    weights = sum(weight.numel() for weight in convolution_weights(network).values())
    levelled = sum(one.count for one in describe_stored(path).tensors if one.layout and one.layout.levels)
    assert levelled > 0.95 * weights


def test_ranges_per_channel_fit_each_channel() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 3000)).astype(np.float32) * np.float32([[1.0], [0.01]])
    ranges = best_ranges(weight, 3, 0)
    assert ranges[0] / ranges[1] == pytest.approx(100, rel=0.2)
    assert ranges[0] == pytest.approx(1.22, abs=0.2), "the best three uniform levels of a normal distribution"
    found = np.square(Grid(3, ranges).rounded(weight) - weight).sum(axis=1)
    for factor in (0.7, 1.4):
        assert (found < np.square(Grid(3, ranges * np.float32(factor)).rounded(weight) - weight).sum(axis=1)).all()
    transposed = best_ranges(np.ascontiguousarray(weight.T), 3, 1)
    np.testing.assert_array_equal(transposed, ranges)


def test_a_channel_of_zeros_has_a_range_too() -> None:
    weight = np.zeros((2, 4), np.float32)
    assert best_ranges(weight, 7, 0).tolist() == [0, 0]
    np.testing.assert_array_equal(Grid(7, np.zeros(2, np.float32)).rounded(weight), weight)


@pytest.mark.parametrize("wrong", [{"levels": 1}, {"levels": 10**6}, {"range": 0.0}])
def test_options_that_make_no_levels(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        QuantizationOptions(**wrong)  # type: ignore[arg-type]


def test_baking_a_network_without_rounding_changes_nothing() -> None:
    network = made()
    before = copy.deepcopy(network.state_dict())
    assert bake(network) == {}
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
