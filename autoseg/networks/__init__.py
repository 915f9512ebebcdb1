"""Networks: each is its spec, width by width, so that a pruned network is built, saved and loaded like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoseg.errors import PlanningError
from autoseg.plans import NetworkSpec
from autoseg.registry import resolve

if TYPE_CHECKING:
    from torch import nn

NETWORKS = {
    "unet": "autoseg.networks.unet:UNet",
    "residual_unet": "autoseg.networks.residual_unet:ResidualUNet",
}


def build_network(spec: NetworkSpec) -> nn.Module:
    """The network of a spec, with weights drawn from torch's global random state, in training mode.

    network(image (B, in_channels, ...)) gives logits (B, out_channels, ...): in evaluation mode one tensor at the
    image's size, in training mode a list of them, finest first, one per decoder level; network.deep_supervision = False
    gives one tensor in either. Edges of the image must be multiples of spec.divisor. network.spec is the spec.
    Raises PlanningError where the spec contradicts itself, OptionError for an unknown architecture.
    """
    from autoseg.networks.blocks import initialise

    network = construct_network(spec)
    initialise(network)
    return network


def construct_network(spec: NetworkSpec) -> nn.Module:
    """The network of a spec before its weights are drawn: for weights that come from elsewhere, or for none."""
    architecture = resolve("network", NETWORKS, spec.architecture)
    check_spec(spec)
    return architecture(spec)


def check_spec(spec: NetworkSpec) -> None:
    """Raise PlanningError, naming the level, where strides, kernels and widths do not make a network."""
    if spec.dimensions not in (2, 3) or not spec.levels:
        raise PlanningError(f"A network needs 2 or 3 dimensions and a level, not {spec.dimensions} and {spec.levels}.")
    bottleneck = len(spec.levels) - 1
    for number, level in enumerate(spec.levels):
        where = f"Level {number} of the network"
        if len(level.stride) != spec.dimensions or len(level.kernel) != spec.dimensions:
            raise PlanningError(f"{where} needs {spec.dimensions} strides and kernel edges: {level}.")
        if any(edge % 2 == 0 for edge in level.kernel):
            raise PlanningError(f"{where} needs odd kernel edges, not {level.kernel}.")
        if not level.encoder_widths or bool(level.decoder_widths) != (number < bottleneck):
            raise PlanningError(f"{where} needs encoder widths, and unless deepest decoder widths: {level}.")
        if (level.upsampled_width is None) != (number == bottleneck):
            raise PlanningError(f"{where} needs an upsampled width, unless it is the deepest: {level}.")
        if level.inner_widths and len(level.inner_widths) != len(level.encoder_widths):
            raise PlanningError(f"{where} needs one inner width per residual block: {level}.")
