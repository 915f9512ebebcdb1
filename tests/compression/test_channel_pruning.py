"""The cut network against the masked one, and what is cut together."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import prunable_networks as networks
import pytest
import torch

from autoseg.compression.allocation import layer_widths
from autoseg.compression.channel_pruning import channel_masks, cut, mask_network, strongest
from autoseg.compression.coupling import channel_groups
from autoseg.compression.criteria import magnitude
from autoseg.errors import OptionError, PlanningError
from autoseg.networks import build_network
from autoseg.networks.storage import load_network, save_network

KINDS = [("unet", 3), ("residual_unet", 3), ("unet", 2), ("residual_unet", 2)]


def masked_and_cut(architecture: str, dimensions: int, seed: int, ratio: float = 0.4, base: int = 6):
    network = networks.seasoned(networks.spec_of(architecture, dimensions=dimensions, base=base), seed)
    coupling = channel_groups(network.spec)
    kept = strongest(magnitude(network, coupling), layer_widths(coupling, ratio, granularity=1))
    masked = copy.deepcopy(network)
    mask_network(masked, channel_masks(network, coupling, kept))
    return masked, cut(network, kept)


@pytest.mark.parametrize(("architecture", "dimensions"), KINDS)
def test_the_cut_network_is_the_masked_one_bit_for_bit(architecture: str, dimensions: int) -> None:
    masked, pruned = masked_and_cut(architecture, dimensions, seed=1)
    image = torch.randn(1, 2, *(8,) * dimensions)
    with torch.no_grad():
        expected, got = networks.in_order(masked)(image), networks.in_order(pruned.network)(image)
    assert expected.dtype == torch.float32
    assert torch.equal(expected, got)
    assert expected.std() > 1e-3


@pytest.mark.parametrize(("architecture", "dimensions"), KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_in_double_precision_torchs_own_convolutions_agree(architecture: str, dimensions: int, seed: int) -> None:
    masked, pruned = masked_and_cut(architecture, dimensions, seed)
    image = torch.randn(2, 2, *(16,) * dimensions).double()
    with torch.no_grad():
        levels = zip(masked.double().train()(image), pruned.network.double().train()(image), strict=True)
        for expected, got in levels:
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


def test_a_masked_channel_is_exactly_zero_whatever_its_shift_was() -> None:
    network = networks.seasoned(networks.spec_of("unet"))
    coupling = channel_groups(network.spec)
    kept = strongest(magnitude(network, coupling), layer_widths(coupling, 0.4, granularity=1))
    mask_network(network, channel_masks(network, coupling, kept))
    gone = sorted(set(range(6)) - set(kept["encoder.0.0"].tolist()))
    with torch.no_grad():
        features = network.encoder[0][0](torch.randn(1, 2, 8, 8, 8))
    assert gone
    assert not features[:, gone].any()


@pytest.mark.parametrize("architecture", ["unet", "residual_unet"])
def test_every_parameter_has_its_place_and_the_image_keeps_its_channels(architecture: str) -> None:
    spec = networks.spec_of(architecture, channels=5)
    coupling = channel_groups(spec)
    tensors = dict(build_network(spec).named_parameters())
    places = {part.tensor for _, part in coupling.parts}
    assert set(tensors) - places == {f"decoder.heads.{n}.bias" for n in range(2)}
    for group, part in coupling.parts:
        assert part.start + group.width <= tensors[part.tensor].shape[part.axis]
    pruned = masked_and_cut(architecture, 3, 0)[1]
    assert (pruned.spec.in_channels, pruned.spec.out_channels) == (2, 3)


def test_a_residual_sum_over_levels_of_one_width_is_cut_as_one() -> None:
    coupling = channel_groups(networks.spec_of("residual_unet"))
    joined = coupling.groups["encoder.1.0"]
    assert [(slot.level, slot.position) for slot in joined.slots] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert {part.tensor for part in joined.convolutions} == {
        "encoder.1.0.around.1.convolution.weight",
        "encoder.1.0.second.convolution.weight",
        "encoder.1.1.second.convolution.weight",
        "encoder.2.0.second.convolution.weight",
        "encoder.2.1.second.convolution.weight",
    }
    assert coupling.apart == (("encoder.0.0", "encoder.1.0"),)


def test_widths_that_would_unmake_a_residual_projection_are_refused() -> None:
    network = networks.seasoned(networks.spec_of("residual_unet"))
    coupling = channel_groups(network.spec)
    widths = coupling.widths | {"encoder.0.0": 5, "encoder.1.0": 5}
    with pytest.raises(PlanningError, match="different numbers of channels, not 5"):
        cut(network, strongest(magnitude(network, coupling), widths))


def test_keeping_all_changes_nothing() -> None:
    network = networks.seasoned(networks.spec_of("residual_unet"))
    coupling = channel_groups(network.spec)
    kept = strongest(magnitude(network, coupling), coupling.widths)
    pruned = cut(network, kept)
    assert pruned.spec == network.spec
    assert pruned.report.ratio == 0
    assert channel_masks(network, coupling, kept) == {}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, pruned.network.state_dict()[name])


def test_a_cut_network_is_stored_like_any_other(tmp_path: Path) -> None:
    pruned = masked_and_cut("residual_unet", 3, 0)[1]
    save_network(tmp_path / "model.safetensors", pruned.network)
    again = load_network(tmp_path / "model.safetensors")
    image = torch.randn(1, 2, 8, 8, 8)
    with torch.no_grad():
        assert torch.equal(again(image), pruned.network(image))
    assert again.spec == pruned.spec


def test_a_network_of_one_level() -> None:
    spec = networks.spec_of("unet")
    spec = replace(spec, levels=(replace(spec.levels[0], upsampled_width=None, decoder_widths=()),))
    network = networks.seasoned(spec)
    coupling = channel_groups(spec)
    pruned = cut(network, strongest(magnitude(network, coupling), layer_widths(coupling, 0.5, granularity=1)))
    assert pruned.spec.levels[0].encoder_widths == (3, 3)
    assert pruned.network(torch.randn(1, 2, 4, 4, 4)).shape == (1, 3, 4, 4, 4)


def test_the_report_counts() -> None:
    masked, pruned = masked_and_cut("unet", 3, 0)
    assert pruned.report.widths["encoder.0.0"] == (6, 4)
    assert pruned.report.parameters == tuple(
        sum(value.numel() for value in network.parameters()) for network in (masked, pruned.network)
    )
    assert 0.3 < pruned.report.ratio < 0.5


def test_an_unknown_architecture_and_an_unknown_tensor_are_refused() -> None:
    spec = networks.spec_of("unet")
    with pytest.raises(OptionError, match="'package:Net' cannot be pruned"):
        channel_groups(replace(spec, architecture="package:Net"))
    network = build_network(spec)
    network.register_parameter("extra", torch.nn.Parameter(torch.ones(3)))
    coupling = channel_groups(spec)
    with pytest.raises(PlanningError, match="extra"):
        cut(network, strongest(magnitude(network, coupling), coupling.widths))
