"""The convolutions of a U-Net, its multiply-adds and weights, read off the spec without building it.

For the architectures here; cost.py, which takes torch, walks the network itself, whatever it is, and finds the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from autoseg.plans import Ints, NetworkSpec


def level_voxels(spec: NetworkSpec, patch_size: Ints) -> list[int]:
    """Voxels of a feature map, per level, finest first."""
    sizes, edges = [], list(patch_size)
    for level in spec.levels:
        edges = [edge // step for edge, step in zip(edges, level.stride, strict=True)]
        sizes.append(math.prod(edges))
    return sizes


@dataclass(frozen=True)
class Layer:
    """A convolution. voxels: positions at which it is computed; taps: of its kernel; level: of its output."""

    in_width: int
    out_width: int
    taps: int
    voxels: int
    bias: bool = False
    normalised: bool = True

    @property
    def multiply_adds(self) -> int:
        """Of one forward pass of one sample."""
        return self.in_width * self.out_width * self.taps * self.voxels

    @property
    def parameters(self) -> int:
        """Weights, bias, and the scale and shift of the normalisation that follows."""
        return self.in_width * self.out_width * self.taps + self.out_width * (self.bias + 2 * self.normalised)


def layers(spec: NetworkSpec, patch_size: Ints) -> Iterator[Layer]:
    """All convolutions of a network."""
    voxels = level_voxels(spec, patch_size)
    yield from _encoder_layers(spec, voxels)
    below = spec.levels[-1].encoder_widths[-1]
    if len(voxels) == 1:
        yield Layer(below, spec.out_channels, 1, voxels[0], bias=True, normalised=False)
    for number in reversed(range(len(voxels) - 1)):
        level, size = spec.levels[number], voxels[number]
        stride = math.prod(spec.levels[number + 1].stride)
        assert level.upsampled_width is not None
        yield Layer(below, level.upsampled_width, stride, voxels[number + 1], normalised=False)
        below = level.upsampled_width + level.encoder_widths[-1]
        for width in level.decoder_widths:
            yield Layer(below, width, math.prod(level.kernel), size)
            below = width
        yield Layer(below, spec.out_channels, 1, size, bias=True, normalised=False)


def _encoder_layers(spec: NetworkSpec, voxels: list[int]) -> Iterator[Layer]:
    in_width = spec.in_channels
    if spec.architecture == "residual_unet":
        width = spec.levels[0].encoder_widths[0]
        yield Layer(in_width, width, math.prod(spec.levels[0].kernel), voxels[0])
        in_width = width
    for level, size in zip(spec.levels, voxels, strict=True):
        taps = math.prod(level.kernel)
        inner_widths = level.inner_widths or (None,) * len(level.encoder_widths)
        for width, inner in zip(level.encoder_widths, inner_widths, strict=True):
            if inner is None:
                yield Layer(in_width, width, taps, size)
            else:
                yield Layer(in_width, inner, taps, size)
                yield Layer(inner, width, taps, size)
                if width != in_width:
                    yield Layer(in_width, width, 1, size)
            in_width = width


def multiply_adds(spec: NetworkSpec, patch_size: Ints) -> int:
    """Of one forward pass of one sample; a training step takes three times as many for each sample."""
    return sum(layer.multiply_adds for layer in layers(spec, patch_size))


def parameter_count(spec: NetworkSpec) -> int:
    """Weights of the network; they do not depend on the patch."""
    return sum(layer.parameters for layer in layers(spec, spec.divisor))


def shared_parameter_count(spec: NetworkSpec, organs: int) -> int:
    """Weights of a network that so many organs share: each has the scales and shifts, and the heads, of its own."""
    every = list(layers(spec, spec.divisor))
    own = sum(layer.parameters if layer.bias else 2 * layer.out_width * layer.normalised for layer in every)
    return sum(layer.parameters for layer in every) + (organs - 1) * own
