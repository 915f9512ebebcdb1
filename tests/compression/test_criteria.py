"""Which filters matter, by numbers that can be worked out."""

from __future__ import annotations

import prunable_networks as networks
import pytest
import torch

from autoseg.compression.coupling import channel_groups
from autoseg.compression.criteria import magnitude, scale, score_weights, taylor
from autoseg.errors import OptionError


def test_magnitude_ranks_by_the_sum_of_absolute_weights() -> None:
    network = networks.seasoned(networks.spec_of("unet"))
    scores = magnitude(network, channel_groups(network.spec))
    sums = network.encoder[0][0].convolution.weight.detach().abs().sum((1, 2, 3, 4))
    assert scores["encoder.0.0"].argsort().tolist() == sums.argsort().tolist()
    assert scores["encoder.0.0"].mean().item() == pytest.approx(1)
    up = network.decoder.levels[0].upsample.weight.detach().abs().sum((0, 2, 3, 4))
    assert scores["decoder.levels.0.upsample"].argsort().tolist() == up.argsort().tolist()


def test_scale_looks_at_the_norm_and_at_weights_where_there_is_none() -> None:
    network = networks.seasoned(networks.spec_of("residual_unet"))
    coupling = channel_groups(network.spec)
    scores = scale(network, coupling)
    inner = network.encoder[0][1].first.norm.weight.detach().abs().double()
    assert torch.equal(scores["encoder.0.1.inner"], inner / inner.mean())
    assert torch.equal(scores["decoder.levels.0.upsample"], magnitude(network, coupling)["decoder.levels.0.upsample"])


def squares(network: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return network(batch).square().mean()


def test_taylor_predicts_what_a_small_change_does() -> None:
    network = networks.seasoned(networks.spec_of("residual_unet")).double()
    coupling = channel_groups(network.spec)
    batch = torch.randn(1, 2, 8, 8, 8).double()
    scores = taylor(network, coupling, [batch], squares)
    norm, step = network.encoder[1][0].first.norm, 1e-5
    before = float(squares(network, batch).detach())
    for channel in range(3):
        with torch.no_grad():
            kept = norm.weight[channel].clone(), norm.bias[channel].clone()
            norm.weight[channel] *= 1 - step
            norm.bias[channel] *= 1 - step
            change = (float(squares(network, batch)) - before) / step
            norm.weight[channel], norm.bias[channel] = kept
        assert float(scores["encoder.1.0.inner"][channel]) == pytest.approx(change**2, rel=1e-2)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_filter_before_a_norm_has_no_first_order_effect_of_its_own() -> None:
    network = networks.seasoned(networks.spec_of("unet")).double()
    squares(network, torch.randn(1, 2, 16, 16, 16).double()).backward()
    weight = network.encoder[0][1].convolution.weight
    products = (weight.detach() * weight.grad).flatten(1)
    assert float(products.sum(1).abs().max()) < 1e-3 * float(products.abs().sum(1).max())


def test_an_unknown_criterion_is_refused() -> None:
    network = networks.seasoned(networks.spec_of("unet"))
    with pytest.raises(OptionError, match="criterion 'luck'"):
        score_weights("luck", network, channel_groups(network.spec))
