"""From a topology to the network's spec, width by width."""

from __future__ import annotations

from autoseg.plans import Ints, LevelSpec, NetworkSpec
from planners.family import WIDEST, Family
from planners.rules.topology import Topology


def network_spec(
    topology: Topology,
    family: Family,
    *,
    base_filters: int,
    in_channels: int,
    out_channels: int,
    widths: Ints | None = None,
    light_finest: bool = False,
) -> NetworkSpec:
    """Widths double from level to level up to 320 (3D) or 512 (2D).

    widths: of the levels, finest first, at least as many as there are, in place of base_filters and doubling.
    light_finest: one convolution in place of two on either side of the finest level, which costs half of the work.
    """
    dimensions, deepest = len(topology.patch_size), len(topology.strides) - 1
    levels = []
    for number, (stride, kernel) in enumerate(zip(topology.strides, topology.kernels, strict=True)):
        width = widths[number] if widths else min(WIDEST[dimensions], base_filters * 2**number)
        is_light = light_finest and number == 0
        inside = (width,) * (1 if is_light else family.depth(number))
        is_bottleneck = number == deepest
        levels.append(
            LevelSpec(
                stride=stride,
                kernel=kernel,
                encoder_widths=inside,
                inner_widths=inside if family.architecture == "residual_unet" else (),
                upsampled_width=None if is_bottleneck else width,
                decoder_widths=() if is_bottleneck else (width,) * (1 if is_light else family.decoder_depth),
            )
        )
    return NetworkSpec(family.architecture, dimensions, in_channels, out_channels, tuple(levels))
