"""A network that organs share: cut and masked alike for every organ, rounded, packed, taught."""

from __future__ import annotations

import copy
from pathlib import Path

import prunable_networks as networks
import pytest
import torch

from autoseg.compression.allocation import global_widths, joined_curves, layer_widths
from autoseg.compression.channel_pruning import channel_masks, cut, mask_network, strongest
from autoseg.compression.coupling import channel_groups
from autoseg.compression.criteria import score_weights, taylor
from autoseg.compression.quantization import QuantizationOptions, bake, quantize
from autoseg.compression.shared_coupling import network_groups
from autoseg.compression.weights import convolution_weights
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.storage import load_network, load_whole_network, save_network

ORGANS = ("organ_eye", "organ_stem")
ARCHITECTURES = ("unet", "residual_unet")


def shared(architecture: str = "unet") -> SharedNetwork:
    """All that is an organ's own differs."""
    network = SharedNetwork(networks.seasoned(networks.spec_of(architecture)), ORGANS)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".each." in name:
                parameter.add_(torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_ordinary_network_has_the_groups_of_its_spec(architecture: str) -> None:
    network = networks.seasoned(networks.spec_of(architecture))
    assert network_groups(network) == channel_groups(network.spec)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("criterion", ["magnitude", "scale"])
def test_the_cut_network_is_the_masked_one_for_every_organ(architecture: str, criterion: str) -> None:
    network = shared(architecture)
    coupling = network_groups(network)
    widths = layer_widths(coupling, 0.4, granularity=1)
    kept = strongest(score_weights(criterion, network, coupling), widths)
    masked = copy.deepcopy(network)
    mask_network(masked, channel_masks(network, coupling, kept))
    pruned = cut(network, kept)
    assert isinstance(pruned.network, SharedNetwork)
    assert pruned.network.organs == ORGANS
    assert pruned.spec.levels[0].encoder_widths[0] < network.spec.levels[0].encoder_widths[0]
    image = torch.randn(1, 2, 8, 8, 8)
    for organ in ORGANS:
        with torch.no_grad():
            expected = networks.in_order(masked.of_organ(organ))(image)
            assert torch.equal(networks.in_order(pruned.network.of_organ(organ))(image), expected)
        assert expected.std() > 1e-3


def test_what_matters_to_any_organ_matters() -> None:
    network = shared()
    coupling = network_groups(network)
    with torch.no_grad():
        for number, channel in enumerate((2, 4)):
            for kind in ("weight", "bias"):
                network.get_parameter(f"trunk.encoder.0.0.norm.each.{number}.{kind}").zero_()[channel] = 5.0
    assert set(
        strongest(score_weights("scale", network, coupling), dict.fromkeys(coupling.groups, 2))["encoder.0.0"].tolist()
    ) == {2, 4}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("criterion", ["magnitude", "scale"])
def test_groups_of_like_channels_lose_alike_however_many_norms_they_have(architecture: str, criterion: str) -> None:
    network = SharedNetwork(networks.seasoned(networks.spec_of(architecture, base=16)), tuple("abcdefgh"))
    coupling = network_groups(network)
    for group in coupling.groups.values():
        for part in group.writers:
            channels = network.get_parameter(part.tensor).detach().transpose(0, part.axis)
            channels[:] = torch.linspace(0.5, 1.5, group.width).view(-1, *(1,) * (channels.ndim - 1))
    curves = joined_curves([score_weights(criterion, network, coupling)])
    kept = global_widths(coupling, curves, 0.25, granularity=1)
    assert {name for name, width in coupling.widths.items() if not 0.6 < kept[name] / width < 0.9} == set()


def test_first_order_effects_are_those_on_the_organs_that_were_seen() -> None:
    network = shared().train()
    image = torch.cat([torch.randn(1, 2, 8, 8, 8), torch.ones(1, 1, 8, 8, 8)], 1)

    def loss(network: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return network(batch)[0].square().mean()

    coupling = network_groups(network)
    before = taylor(network, coupling, [image], loss)
    with torch.no_grad():
        network.get_parameter("trunk.encoder.0.0.norm.each.0.weight").mul_(3)
    after = taylor(network, coupling, [image], loss)
    assert before["encoder.0.0"].min() >= 0
    assert before["encoder.0.0"].max() > 0
    torch.testing.assert_close(after, before)


def test_rounded_weights_are_stored_on_their_levels(tmp_path: Path) -> None:
    network, path = shared(), tmp_path / "model.safetensors"
    plain = tmp_path / "plain.safetensors"
    save_network(plain, network)
    quantize(network, QuantizationOptions(7))
    save_network(path, network, bake(network))
    loaded = load_whole_network(path)
    for name, weight in convolution_weights(network).items():
        assert torch.equal(convolution_weights(loaded)[name], weight)
    assert path.stat().st_size < plain.stat().st_size / 2
    image = torch.randn(1, 2, 8, 8, 8)
    with torch.no_grad():
        for organ in ORGANS:
            torch.testing.assert_close(load_network(path, organ=organ)(image), network.of_organ(organ)(image))
