"""Rounded maps: the levels of eight bits, gradients that pass within them, and what OpenVINO then computes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.compression.int8 import FIRST_LEVELS, calibrate, halved_grids
from autoseg.compression.quantization import QuantizationOptions, Rounded, bake, quantize
from autoseg.compression.rounded_maps import WEIGHT_LEVELS, RoundedMaps, round_maps
from autoseg.compression.weights import convolution_weights
from autoseg.errors import OptionError
from autoseg.inference.backends import EngineOptions, find_backend
from autoseg.inference.backends.openvino import imported
from autoseg.inference.backends.probe import ProbeRequest, phantom, relative_error, seasoned_network
from autoseg.plans import LevelSpec, NetworkSpec

ONES, TWOS, THREES = (1, 1, 1), (2, 2, 2), (3, 3, 3)
SPEC = NetworkSpec("unet", 3, 1, 3, (LevelSpec(ONES, THREES, (16,), (), 16, (16,)), LevelSpec(TWOS, THREES, (16,))))
PATCH = (16, 12, 12)


def rounded_convolution() -> nn.Sequential:
    network = nn.Sequential(nn.Conv3d(1, 2, 1))
    quantize(network, QuantizationOptions(WEIGHT_LEVELS))
    return network


def test_values_within_the_levels_move_by_half_a_step_at_most() -> None:
    maps = RoundedMaps(-1.0, 4.1)
    values = torch.linspace(-1, 4.1, 4001)
    found = maps(values)
    assert (found - values).abs().max() <= 0.5 * 5.1 / 255 + 1e-6
    assert len(found.unique()) == 256
    numbers = np.clip(np.rint(values.numpy() / np.float32(5.1 / 255)) + 50, 0, 255)
    np.testing.assert_allclose(found.numpy(), (numbers - 50) * (5.1 / 255), atol=1e-6)


@pytest.mark.parametrize("reach", [(-1.0, 4.1), (0.3, 2.0), (-3.0, -1.0), (0.0, 0.0)])
def test_zero_stays_zero(reach: tuple[float, float]) -> None:
    assert RoundedMaps(*reach)(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_what_lies_beyond_is_cut_off_and_teaches_nothing() -> None:
    values = torch.tensor([-9.0, -0.5, 0.0, 3.3, 9.0], requires_grad=True)
    found = RoundedMaps(-1.0, 4.1)(values)
    assert found[[0, 4]].tolist() == pytest.approx([-1.0, 4.1], abs=1e-5)
    found.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_levels_reach_as_far_as_patches_do_on_average() -> None:
    network = rounded_convolution()
    round_maps(network, [torch.tensor([-2.0, 3.0]).view(1, 1, 2, 1, 1), torch.tensor([-4.0, 7.0]).view(1, 1, 2, 1, 1)])
    assert network(torch.tensor([100.0]).view(1, 1, 1, 1, 1)).shape == (1, 2, 1, 1, 1)
    maps = network[0].maps
    assert isinstance(maps, RoundedMaps)
    assert maps(torch.tensor([-99.0, 99.0])).tolist() == pytest.approx([-3.0, 5.0], abs=8 / 255)


def test_a_copy_and_a_checkpoint_round_alike() -> None:
    network = rounded_convolution()
    image = torch.randn(1, 1, 4, 4, 4)
    round_maps(network, [image])
    other = rounded_convolution()
    round_maps(other, [torch.ones(1, 1, 2, 2, 2)])
    other.load_state_dict(network.state_dict())
    for same in (copy.deepcopy(network), other):
        torch.testing.assert_close(same(image), network(image), rtol=0, atol=0)


def test_in_the_end_the_network_is_an_ordinary_one() -> None:
    network = rounded_convolution()
    names = list(nn.Sequential(nn.Conv3d(1, 2, 1)).state_dict())
    round_maps(network, [torch.randn(1, 1, 4, 4, 4)])
    bake(network)
    assert list(network.state_dict()) == names
    assert not any(isinstance(module, Rounded | RoundedMaps) for module in network.modules())


def test_it_is_as_rough_as_int8_is(tmp_path: Path) -> None:
    """Not voxel by voxel: which way a value is rounded is chance after a few convolutions."""
    patches = torch.from_numpy(phantom(ProbeRequest((), SPEC, PATCH, 4, 1))).split(1)
    network = seasoned_network(SPEC)
    quantize(network, QuantizationOptions(WEIGHT_LEVELS))
    round_maps(network, patches)
    rounded = copy.deepcopy(network)
    bake(network)
    calibrate(network, patches, PATCH, tmp_path / "int8.xml")
    engine = find_backend("openvino").compile(
        network, EngineOptions(PATCH, "int8", 1, calibrated=tmp_path / "int8.xml")
    )
    with torch.inference_mode():
        plain, aware = network(patches[0]).numpy(), rounded(patches[0]).numpy()
    found = engine(patches[0].numpy())
    assert 0.4 < relative_error(aware, plain) / relative_error(found, plain) < 2.5


def int8_weights(path: Path) -> dict[tuple[int, ...], np.ndarray]:
    """The weights of convolutions in a file of OpenVINO's, in floats, by their shape: all of SPEC's differ."""
    operations = imported().Core().read_model(path).get_ordered_ops()
    kinds = ("Convolution", "ConvolutionBackpropData")
    weights = [folded(one.input_value(1).get_node()) for one in operations if one.get_type_name() in kinds]
    return {weight.shape: weight for weight in weights}


def folded(node: Any) -> np.ndarray:
    if node.get_type_name() == "Constant":
        return np.asarray(node.data, dtype=np.float64)
    compute = {"Convert": np.asarray, "Subtract": np.subtract, "Multiply": np.multiply}[node.get_type_name()]
    return compute(*(folded(node.input_value(number).get_node()) for number in range(node.get_input_size())))


@pytest.mark.parametrize("has_instructions", [True, False])
def test_the_levels_of_weights_are_those_that_int8_computes_with(
    has_instructions: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoseg.compression.int8.has_int8_instructions", lambda: has_instructions)
    network = seasoned_network(SPEC)
    quantize(network, QuantizationOptions(WEIGHT_LEVELS), halved_grids(network))
    grids = bake(network)
    patches = torch.from_numpy(phantom(ProbeRequest((), SPEC, PATCH, 4, 1))).split(1)
    calibrate(network, patches, PATCH, tmp_path / "int8.xml")
    learnt = {name: weight.detach().double().numpy() for name, weight in convolution_weights(network).items()}
    found = int8_weights(tmp_path / "int8.xml")
    assert len(found) == len(learnt) == 5
    for name, weight in learnt.items():
        computed, inner = found[weight.shape], np.ones(weight.shape, dtype=bool)
        if grids[name].levels == FIRST_LEVELS:  # the end is half a step beyond the last one; the factor is the norm's
            computed, inner = computed * 63.5 / 63, np.abs(weight) < 0.999 * grids[name].aligned(weight.ndim)
        np.testing.assert_allclose(computed[inner], weight[inner], rtol=1e-5, atol=1e-9, err_msg=name)


def test_without_patches_or_levels_nothing_is_rounded() -> None:
    with pytest.raises(OptionError, match="found on patches"):
        round_maps(rounded_convolution(), [])
    with pytest.raises(OptionError, match="quantised network"):
        round_maps(nn.Conv3d(1, 1, 1), [torch.zeros(1, 1, 2, 2, 2)])
