"""What a U-Net costs, in closed form: values of feature maps, multiply-adds, weights, bytes of training.

All are read off the spec; autoseg.networks.cost walks the network itself and finds the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from autoseg.plans import Ints, LevelSpec, NetworkSpec

BYTES_PER_VALUE = {"cpu": 4, "cuda": 2}
"""Of a feature map: a CPU may have to compute in fp32, a GPU computes in half precision."""
WEIGHT_BYTES = 4
WEIGHT_COPIES = 5
"""Weights, gradients, two moments of the optimiser, and the average."""
OVERHEAD = {"cpu": 1.6, "cuda": 1.85}
"""Memory of training over what is kept for the backward pass: gradients of feature maps and buffers of convolutions.
Measured on a CPU; on a GPU from the peer's 7.7 and 9.1 GB, where 3.4 and 4.1 GiB are kept."""
LIBRARY_BYTES = {"cpu": 0, "cuda": 1024**3}
"""What the GPU's libraries take for themselves."""


def level_voxels(spec: NetworkSpec, patch_size: Ints) -> list[int]:
    """Voxels of a feature map, per level, finest first."""
    sizes, edges = [], list(patch_size)
    for level in spec.levels:
        edges = [edge // step for edge, step in zip(edges, level.stride, strict=True)]
        sizes.append(math.prod(edges))
    return sizes


def feature_map_values(spec: NetworkSpec, patch_size: Ints, label_count: int) -> int:
    """Outputs of all convolutions for one sample, as the peer counts them.

    Those of the stem, of the encoder (of both convolutions of a residual block, and of its way around where width or
    resolution change), of upsampling and decoder, and of the finest head. label_count: entries of dataset.json's
    labels, background and ignore included.
    """
    voxels = level_voxels(spec, patch_size)
    total = label_count * voxels[0] if len(voxels) > 1 else 0
    in_width = spec.levels[0].encoder_widths[0] if spec.architecture == "residual_unet" else 0
    total += in_width * voxels[0]
    for level, size in zip(spec.levels, voxels, strict=True):
        total += (_encoder_values(level, in_width) + sum(level.decoder_widths) + (level.upsampled_width or 0)) * size
        in_width = level.encoder_widths[-1]
    return total


def _encoder_values(level: LevelSpec, in_width: int) -> int:
    values = sum(level.encoder_widths) + sum(level.inner_widths)
    stride = math.prod(level.stride)
    for width in level.encoder_widths if level.inner_widths else ():
        values += width if width != in_width or stride > 1 else 0
        in_width, stride = width, 1
    return values


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


def kept_values(spec: NetworkSpec, patch_size: Ints) -> int:
    """Values kept for the backward pass of one sample.

    Inputs of convolutions, normalisations and poolings, and the logits: the image; two maps for each normalised
    convolution, before and after it; for a skip connection the joined map; in a residual block, where the way around
    is averaged and then widened, the average.
    """
    voxels = level_voxels(spec, patch_size)
    total = spec.in_channels * voxels[0]
    if spec.architecture == "residual_unet":
        total += 2 * spec.levels[0].encoder_widths[0] * voxels[0]
    in_width = spec.levels[0].encoder_widths[0]
    for level, size in zip(spec.levels, voxels, strict=True):
        total += 2 * (sum(level.encoder_widths) + sum(level.inner_widths) + sum(level.decoder_widths)) * size
        total += _around_values(level, in_width) * size
        in_width = level.encoder_widths[-1]
        if level.upsampled_width is not None:
            total += (level.upsampled_width + level.encoder_widths[-1] + spec.out_channels) * size
    return total + (spec.out_channels * voxels[0] if len(voxels) == 1 else 0)


def _around_values(level: LevelSpec, in_width: int) -> int:
    values, stride = 0, math.prod(level.stride)
    for width in level.encoder_widths if level.inner_widths else ():
        if width != in_width:
            values += width + (in_width if stride > 1 else 0)
        in_width, stride = width, 1
    return values


def training_bytes(spec: NetworkSpec, patch_size: Ints, batch_size: int, device: str = "cpu") -> int:
    """Memory of training on cpu (in fp32) or cuda (in half precision), without the interpreter."""
    activations = kept_values(spec, patch_size) * batch_size * BYTES_PER_VALUE[device]
    weights = WEIGHT_COPIES * WEIGHT_BYTES * parameter_count(spec)
    return int(OVERHEAD[device] * activations) + weights + LIBRARY_BYTES[device]
