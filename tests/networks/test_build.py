from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_networks import small_spec

from autoseg.errors import OptionError, PlanningError
from autoseg.networks import build_network
from autoseg.networks.blocks import ResidualBlock
from autoseg.plans import NetworkSpec


def with_level(spec: NetworkSpec, number: int, **changes: object) -> NetworkSpec:
    levels = list(spec.levels)
    levels[number] = replace(levels[number], **changes)
    return replace(spec, levels=tuple(levels))


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (1, {"stride": (2, 2, 2)}, "Level 1 of the network needs 2 strides"),
        (0, {"kernel": (2, 3)}, "Level 0 of the network needs odd kernel edges"),
        (0, {"decoder_widths": ()}, "Level 0 of the network needs encoder widths"),
        (1, {"decoder_widths": (4,)}, "Level 1 of the network needs encoder widths"),
        (0, {"upsampled_width": None}, "Level 0 of the network needs an upsampled width"),
        (0, {"inner_widths": (4,)}, "Level 0 of the network needs one inner width"),
    ],
)
def test_spec_that_contradicts_itself(number: int, changes: dict, message: str) -> None:
    with pytest.raises(PlanningError, match=message):
        build_network(with_level(small_spec(), number, **changes))


def test_residual_encoder_needs_inner_widths() -> None:
    with pytest.raises(PlanningError, match="needs inner widths at every level"):
        build_network(replace(small_spec(), architecture="residual_unet"))


def test_unknown_architecture_lists_the_known() -> None:
    with pytest.raises(OptionError, match=r"no network 'vnet'.*residual_unet, unet"):
        build_network(replace(small_spec(), architecture="vnet"))


def test_pruned_widths_of_every_layer() -> None:
    spec = small_spec("residual_unet", widths=(4, 8, 8))
    spec = with_level(spec, 0, encoder_widths=(3, 5), inner_widths=(2, 7), upsampled_width=1, decoder_widths=(6, 3))
    assert build_network(spec).eval()(torch.randn(1, 1, 8, 8)).shape == (1, 2, 8, 8)


def test_single_level_has_its_head_on_the_encoder() -> None:
    network = build_network(small_spec(widths=(4,)))
    assert [tuple(logits.shape) for logits in network(torch.randn(2, 1, 5, 7))] == [(2, 2, 5, 7)]


def test_residual_block_starts_as_the_way_around() -> None:
    network = build_network(small_spec("residual_unet"))
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    x = torch.rand(1, 4, 6, 6) + 0.1
    torch.testing.assert_close(blocks[0](x), x)
    assert len(blocks) == 4


def test_weights_follow_he() -> None:
    network = build_network(small_spec(widths=(64, 64)))
    weight = network.encoder[1][1].convolution.weight
    assert weight.std().item() == pytest.approx((2 / (1 + 0.01**2) / (64 * 9)) ** 0.5, rel=0.03)
