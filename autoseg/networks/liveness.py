"""How many values a forward pass holds at once, read off the spec in the order in which the networks here compute."""

from __future__ import annotations

import math
from functools import lru_cache

from autoseg.plans import Ints, LevelSpec, NetworkSpec


@lru_cache(maxsize=64)
def inference_values(spec: NetworkSpec, patch_size: Ints, batch_size: int) -> int:
    """The most values that are alive at once in a forward pass without gradients, input and logits included.

    Between two convolutions several maps are alive, one of them twice as wide: where a library computes a convolution
    in a layout of its own, its input and output are alive in both, which is not counted here. patch_size: edges that
    are multiples of spec.divisor.
    """
    return batch_size * _Pass(spec, patch_size).most


class _Pass:
    """One sample through the network. most: values alive at once so far."""

    def __init__(self, spec: NetworkSpec, patch_size: Ints) -> None:
        self.most = 0
        image = spec.in_channels * math.prod(patch_size)
        sizes, edges = [], patch_size
        for level in spec.levels:
            edges = tuple(math.ceil(edge / step) for edge, step in zip(edges, level.stride, strict=True))
            sizes.append(math.prod(edges))
        skips = self._encode(spec, sizes, image)
        x = skips.pop()
        for level, voxels in zip(spec.levels[-2::-1], sizes[-2::-1], strict=True):
            x = self._decode(level, voxels, x, skips.pop(), held=image + sum(skips))
        self._alive(image, x, spec.out_channels * sizes[0])

    def _alive(self, *values: int) -> None:
        self.most = max(self.most, sum(values))

    def _encode(self, spec: NetworkSpec, sizes: list[int], image: int) -> list[int]:
        """The values of every level's output, finest first."""
        held, x, width = image, 0, spec.in_channels
        if spec.levels[0].inner_widths:
            width = spec.levels[0].encoder_widths[0]
            x = self._convolved(width * sizes[0], image)
        skips: list[int] = []
        for level, voxels in zip(spec.levels, sizes, strict=True):
            # What enters a level is the image or the skip before, held already, or the output of a stem.
            level_held = held + x
            out = self._residual(level, voxels, level_held, width) if level.inner_widths else 0
            out = out or self._blocks(level.encoder_widths, voxels, level_held)
            skips.append(out)
            held, x, width = held + out, 0, level.encoder_widths[-1]
        return skips

    def _convolved(self, out: int, *held: int) -> int:
        """A convolution, then its normalisation, which makes a map of its own."""
        self._alive(*held, out, out)
        return out

    def _blocks(self, widths: Ints, voxels: int, held: int) -> int:
        """Convolution blocks whose first input is held."""
        x = 0
        for width in widths:
            x = self._convolved(width * voxels, held, x)
        return x

    def _residual(self, level: LevelSpec, voxels: int, held: int, width: int) -> int:
        """Residual blocks whose first input is held. width: channels of that input."""
        x, strided = 0, math.prod(level.stride) > 1
        for out_width, inner in zip(level.encoder_widths, level.inner_widths, strict=True):
            out = out_width * voxels
            first = self._convolved(inner * voxels, held, x)
            self._convolved(out, held, x, first)
            pooled = width * voxels if strided else 0
            self._alive(held, x, out, pooled)
            around = self._convolved(out, held, x, out, pooled) if width != out_width else pooled
            self._alive(held, x, out, around, out)
            x, width, strided = out, out_width, False
        return x

    def _decode(self, level: LevelSpec, voxels: int, x: int, skip: int, *, held: int) -> int:
        """Upsample x, put it before the skip connection, convolve. held: what is alive besides."""
        assert level.upsampled_width is not None
        upsampled = level.upsampled_width * voxels
        joined = upsampled + skip
        self._alive(held, x, skip, upsampled, joined)
        return self._blocks(level.decoder_widths, voxels, held + x + skip + joined)
