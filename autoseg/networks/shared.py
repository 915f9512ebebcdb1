"""One network for several organs: they share its convolutions, and each has normalisations and heads of its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.networks import construct_network
from autoseg.networks.normalization import InstanceNorm
from autoseg.networks.shared_names import names_of_organ
from autoseg.plans import NetworkSpec


class SharedNetwork(nn.Module):
    """An ordinary network in which every organ has normalisations and heads of its own.

    Each instance normalisation has a row of scales and shifts per organ (Perez et al., 2018, arXiv:1709.07871), and so
    for one organ it is an ordinary network. A constant input channel would not do to tell organs apart: the first
    normalisation takes constants away.

    network: of one organ, as build_network gives it, to begin with for all; it is used up. organs: their names, in the
    order of the numbers that samples carry. spec: that of the network of one organ.
    """

    def __init__(self, network: Any, organs: Sequence[str]) -> None:
        super().__init__()
        self.spec: NetworkSpec = network.spec
        self.organs = tuple(organs)
        self._chosen = _Chosen()
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, InstanceNorm) or parent is network.decoder.heads:
                    setattr(parent, name, _PerOrgan(child, len(self.organs), self._chosen))
        self.trunk = network

    def forward(self, image: Tensor) -> list[Tensor] | Tensor:
        """image: (B, in_channels + 1, ...), the last channel filled with the number of the sample's organ.

        Returns logits as the network of one organ does; see build_network.
        """
        self._chosen.numbers = [int(number) for number in image[:, -1].flatten(1)[:, 0].tolist()]
        return self.trunk(image[:, :-1])

    def of_organ(self, organ: str) -> nn.Module:
        """The ordinary network of one organ, in evaluation mode, with the weights themselves, not copies."""
        tensors = self.state_dict(keep_vars=True)
        wanted = names_of_organ(tensors, self.organs.index(organ))
        with torch.device("meta"):
            network = construct_network(self.spec)
        network.load_state_dict({name: tensors[stored] for name, stored in wanted.items()}, assign=True)
        return network.eval()


class _Chosen:
    """The organs of the samples that are being computed."""

    numbers: Sequence[int] = ()


class _PerOrgan(nn.Module):
    """A module for each organ: every sample goes through that of its own."""

    def __init__(self, module: nn.Module, count: int, chosen: _Chosen) -> None:
        super().__init__()
        self.each = nn.ModuleList(copy.deepcopy(module) for _ in range(count))
        self._chosen = chosen

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, ...), as many samples as numbers were chosen."""
        numbers = self._chosen.numbers
        if len(set(numbers)) == 1:
            return self.each[numbers[0]](x)
        return torch.cat([self.each[number](one) for number, one in zip(numbers, x.split(1), strict=True)])
