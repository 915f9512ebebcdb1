"""Channel pruning: choose filters, mask them, cut them out of the structure.

The cut network computes what the masked one does: a masked filter has zero weights, and its normalisation zero scale
and shift, so that its map is zero and adds nothing to whatever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.compression.allocation import Widths
from autoseg.compression.coupling import ChannelGroup, Coupling
from autoseg.compression.criteria import Scores
from autoseg.compression.shared_coupling import network_groups
from autoseg.errors import PlanningError
from autoseg.networks import construct_network
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.shared_names import ordinary_name
from autoseg.plans import NetworkSpec

Kept = dict[str, Tensor]
"""By group the numbers of the channels that stay, ascending."""


@dataclass(frozen=True)
class PruningReport:
    """What was cut. widths: by group, before and after. parameters: before and after."""

    widths: dict[str, tuple[int, int]]
    parameters: tuple[int, int]

    @property
    def ratio(self) -> float:
        """The share of all filters that are gone."""
        before, after = (sum(pair[i] for pair in self.widths.values()) for i in (0, 1))
        return 1 - after / before


@dataclass(frozen=True, eq=False)
class Pruned:
    """A network without the channels that were cut, its spec, and what was done."""

    network: nn.Module
    spec: NetworkSpec
    report: PruningReport


def strongest(scores: Scores, widths: Widths) -> Kept:
    """The channels of the highest scores, as many per group as widths says; of equal ones the first."""
    return {
        name: values.sort(descending=True, stable=True).indices[: widths[name]].sort().values
        for name, values in scores.items()
    }


def channel_masks(network: nn.Module, coupling: Coupling, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """By parameter, in its shape: True for weights that stay, False for those of the channels that go.

    Those who read a channel that goes are masked too: their weights there act on zeros. Parameters that keep everything
    have no mask.
    """
    tensors = dict(network.named_parameters())
    masks: dict[str, Tensor] = {}
    _check_covers(tensors, coupling)
    for group, part in coupling.parts:
        gone = torch.ones(group.width, dtype=torch.bool)
        gone[kept[group.name].cpu()] = False
        if not gone.any():
            continue
        tensor = tensors[part.tensor]
        mask = masks.setdefault(part.tensor, torch.ones(tensor.shape, dtype=torch.bool))
        mask.narrow(part.axis, part.start, group.width).transpose(0, part.axis)[gone] = False
    return {name: mask.to(tensors[name].device) for name, mask in masks.items()}


@torch.no_grad()
def mask_network(network: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set what the masks leave out to zero, in place."""
    for name, parameter in network.named_parameters():
        if name in masks:
            parameter.mul_(masks[name])


def cut(network: nn.Module, kept: Mapping[str, Tensor]) -> Pruned:
    """The network without the channels that are not kept, in evaluation mode; the given one is left as it is.

    Masked filters or not: what is cut is gone. Raises PlanningError where the widths that stay make no such network.
    """
    given: Any = network
    spec: NetworkSpec = given.spec
    coupling = network_groups(network)
    tensors = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    _check_covers(tensors, coupling)
    for name, selections in _selections(coupling, kept).items():
        for axis, index in selections.items():
            tensors[name] = tensors[name].index_select(axis, index.to(tensors[name].device))
    widths = {name: len(index) for name, index in kept.items()}
    new_spec = spec_with(spec, coupling, widths)
    organs = network.organs if isinstance(network, SharedNetwork) else ()
    smaller = _built(new_spec, organs, {name: tensor.clone() for name, tensor in tensors.items()})
    pairs = {name: (group.width, widths[name]) for name, group in coupling.groups.items()}
    return Pruned(smaller, new_spec, PruningReport(pairs, (_count(network), _count(smaller))))


def spec_with(spec: NetworkSpec, coupling: Coupling, widths: Mapping[str, int]) -> NetworkSpec:
    """The spec with other widths, by group. PlanningError where groups that must differ would not."""
    for first, second in coupling.apart:
        if widths[first] == widths[second]:
            raise PlanningError(f"{first} and {second} must keep different numbers of channels, not {widths[first]}.")
    levels = list(spec.levels)
    for name, group in coupling.groups.items():
        for slot in group.slots:
            level, width = levels[slot.level], widths[name]
            values: Any = width
            if slot.field != "upsampled_width":
                row = list(getattr(level, slot.field))
                row[slot.position] = width
                values = tuple(row)
            levels[slot.level] = replace(level, **{slot.field: values})
    return replace(spec, levels=tuple(levels))


def _selections(coupling: Coupling, kept: Mapping[str, Tensor]) -> dict[str, dict[int, Tensor]]:
    """By tensor and axis the numbers to keep, over all groups that lie side by side along it."""
    found: dict[str, dict[int, list[tuple[int, ChannelGroup]]]] = {}
    for group, part in coupling.parts:
        found.setdefault(part.tensor, {}).setdefault(part.axis, []).append((part.start, group))
    return {
        tensor: {
            axis: torch.cat([start + kept[group.name].cpu() for start, group in sorted(places, key=_first)])
            for axis, places in axes.items()
        }
        for tensor, axes in found.items()
    }


def _first(place: tuple[int, ChannelGroup]) -> int:
    return place[0]


def _built(spec: NetworkSpec, organs: tuple[str, ...], tensors: dict[str, Tensor]) -> nn.Module:
    with torch.device("meta"):
        network = construct_network(spec)
        if organs:
            network = SharedNetwork(network, organs)
    network.load_state_dict(tensors, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network.eval()


def _check_covers(tensors: Mapping[str, Tensor], coupling: Coupling) -> None:
    """Raise PlanningError for a tensor that this module does not know how to cut."""
    known = {part.tensor for _, part in coupling.parts}
    unknown = [name for name in tensors if name not in known and not _is_untouched(name)]
    if unknown:
        raise PlanningError(f"The network has {unknown[0]}, which channel pruning does not know how to cut.")


def _is_untouched(name: str) -> bool:
    """Biases of heads have an entry per logit."""
    return ordinary_name(name).startswith("decoder.heads.") and name.endswith(".bias")


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
