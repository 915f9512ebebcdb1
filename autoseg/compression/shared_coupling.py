"""Which channels of a network stand and fall together, also where organs share it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import nn

from autoseg.compression.coupling import Coupling, Part, channel_groups
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.shared_names import names_of_organ


def network_groups(network: nn.Module) -> Coupling:
    """The groups of a network's spec, in its own tensors.

    A SharedNetwork has the groups of the network of one organ: a channel goes with the scales, the shifts and the
    inputs of heads that each organ has for it.
    """
    given: Any = network
    coupling = channel_groups(given.spec)
    if not isinstance(network, SharedNetwork):
        return coupling
    tensors = dict(network.named_parameters())
    of_organs = [names_of_organ(tensors, number) for number in range(len(network.organs))]

    def everywhere(parts: Iterable[Part]) -> tuple[Part, ...]:
        return tuple(
            replace(part, tensor=stored)
            for part in parts
            for stored in dict.fromkeys(names[part.tensor] for names in of_organs)
        )

    groups = {
        name: replace(group, writers=everywhere(group.writers), readers=everywhere(group.readers))
        for name, group in coupling.groups.items()
    }
    return replace(coupling, groups=groups)
