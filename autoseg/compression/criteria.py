"""How much every filter of a network matters: scores by group of channels, higher for what is to stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.compression.coupling import ChannelGroup, Coupling, Part
from autoseg.errors import unknown_name

Scores = dict[str, Tensor]
"""(width,) per group, in double precision."""
TAYLOR = "taylor"


def magnitude(network: nn.Module, coupling: Coupling) -> Scores:
    """The sum of a filter's absolute weights (Li et al. 2017, arXiv:1608.08710), by the mean over its layer's filters.

    Dividing by the mean leaves the order within a layer as it is, gives the layers of a residual sum the same vote, and
    makes layers comparable.
    """
    tensors = dict(network.named_parameters())
    return {
        name: _vote([_absolute_sums(tensors, part) for part in group.convolutions]) for name, group in _of(coupling)
    }


def scale(network: nn.Module, coupling: Coupling) -> Scores:
    """The absolute scale of a channel's normalisation (Liu et al. 2017, arXiv:1708.06519), by the mean over its group.

    Where there are several, in a residual sum or one per organ, their sum. Where nothing normalises, after a transposed
    convolution, the magnitude. Dividing by the mean makes groups with one scale, with several and with none comparable.
    """
    tensors = dict(network.named_parameters())
    scores = magnitude(network, coupling)
    for name, group in _of(coupling):
        scales = [tensors[f"{norm}.weight"].detach().double().abs() for norm in group.norms]
        if scales:
            scores[name] = _by_mean(torch.stack(scales).sum(0))
    return scores


def taylor(
    network: nn.Module,
    coupling: Coupling,
    batches: Iterable[Any],
    loss: Callable[[nn.Module, Any], Tensor],
) -> Scores:
    """What removing a channel would change the loss by, to first order (Molchanov et al. 2019, arXiv:1906.10771).

    The mean over batches of (sum of weight times gradient)^2 over the scale and the shift of the channel's norm, or
    where there is none over the filter. A convolution before a norm adds nothing: the norm undoes any factor of it, so
    that the sum over its filter is zero. loss: of the network on a batch. The network's gradients are left empty.
    """
    tensors = dict(network.named_parameters())
    scores = {name: torch.zeros(group.width, dtype=torch.float64) for name, group in _of(coupling)}
    count = 0
    for batch in batches:
        network.zero_grad(set_to_none=True)
        loss(network, batch).backward()
        for name, group in _of(coupling):
            scores[name] += _first_order(tensors, group).cpu() ** 2
        count += 1
    network.zero_grad(set_to_none=True)
    return {name: value / max(1, count) for name, value in scores.items()}


CRITERIA = ("magnitude", "scale", TAYLOR)


def score_weights(criterion: str, network: nn.Module, coupling: Coupling) -> Scores:
    """The scores by a criterion that needs no data; OptionError for an unknown one."""
    known = {"magnitude": magnitude, "scale": scale}
    if criterion not in known:
        raise unknown_name("criterion", criterion, CRITERIA)
    return known[criterion](network, coupling)


def _of(coupling: Coupling) -> Iterable[tuple[str, ChannelGroup]]:
    return coupling.groups.items()


def _absolute_sums(tensors: dict[str, nn.Parameter], part: Part) -> Tensor:
    """(width,): the sum of the absolute weights of each filter."""
    return tensors[part.tensor].detach().double().abs().transpose(0, part.axis).flatten(1).sum(1)


def _vote(sums: list[Tensor]) -> Tensor:
    return torch.stack([_by_mean(values) for values in sums]).mean(0)


def _by_mean(values: Tensor) -> Tensor:
    return values / values.mean().clamp_min(1e-30)


def _first_order(tensors: dict[str, nn.Parameter], group: ChannelGroup) -> Tensor:
    """(width,): the sum of weight times gradient of each channel."""
    if not group.norms:
        (part,) = group.convolutions
        return _product(tensors[part.tensor]).transpose(0, part.axis).flatten(1).sum(1)
    products = [_product(tensors[f"{norm}.{kind}"]) for norm in group.norms for kind in ("weight", "bias")]
    return torch.stack(products).sum(0)


def _product(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter, dtype=torch.float64)
    return parameter.detach().double() * parameter.grad.double()
