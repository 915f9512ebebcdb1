"""What training a U-Net takes, in closed form: values of feature maps and bytes.

All are read off the spec; autoseg.networks.cost walks the network itself and finds the same numbers.
"""

from __future__ import annotations

import math

from autoseg.networks.closed_form import level_voxels, parameter_count
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
