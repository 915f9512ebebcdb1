"""The way back up, which all U-Nets here share, with a segmentation head at every level."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from autoseg.networks.blocks import TRANSPOSED, chain, convolution
from autoseg.plans import LevelSpec, NetworkSpec

RARITY = 0.01
"""The probability of a class, everywhere, before anything is learnt."""


def features_of(encoder: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """The output of every level of an encoder, finest first."""
    features = []
    for level in encoder:
        x = level(x)
        features.append(x)
    return features


class DecoderLevel(nn.Module):
    """Upsample what comes from below, put it before the skip connection, convolve."""

    def __init__(self, below_width: int, level: LevelSpec, stride: tuple[int, ...]) -> None:
        super().__init__()
        assert level.upsampled_width is not None
        self.upsample = TRANSPOSED[len(stride)](below_width, level.upsampled_width, stride, stride, bias=False)
        joined = level.upsampled_width + level.encoder_widths[-1]
        self.blocks = chain(joined, level.decoder_widths, kernel=level.kernel)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x: (B, below, ...); skip: (B, encoder width, ...) at this level's resolution."""
        return self.blocks(torch.cat([self.upsample(x), skip], 1))


class Decoder(nn.Module):
    """From the encoder's features to logits.

    levels: deepest first. heads: 1x1 convolutions, finest first, one per decoder level; where a network has one level
    only, its head sits on the encoder.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        levels, point = spec.levels, (1,) * spec.dimensions
        self.levels = nn.ModuleList()
        width = levels[-1].encoder_widths[-1]
        widths = [width] if len(levels) == 1 else []
        for number in range(len(levels) - 2, -1, -1):
            self.levels.append(DecoderLevel(width, levels[number], levels[number + 1].stride))
            width = levels[number].decoder_widths[-1]
            widths.insert(0, width)
        self.heads = nn.ModuleList(convolution(width, spec.out_channels, kernel=point, bias=True) for width in widths)

    @torch.no_grad()
    def expect_background(self, *, exclusive: bool) -> None:
        """Set the biases of the heads so that at first every class is rare everywhere: a probability of RARITY.

        Without it a network first spends its iterations on learning that most voxels are background (Lin et al. 2017,
        arXiv:1708.02002, section 3.3). exclusive: a softmax with background at channel 0, else a sigmoid per channel.
        """
        for head in self.heads:
            bias = cast(Tensor, head.bias)
            rarity = min(RARITY, 0.5 / len(bias))
            if exclusive:
                bias[0] = math.log(1 / rarity - (len(bias) - 1))
            else:
                bias.fill_(math.log(rarity / (1 - rarity)))

    def forward(self, features: list[Tensor], *, every_level: bool) -> list[Tensor]:
        """Logits, finest first; only the finest unless every_level. features: finest first; the list is emptied."""
        x = features.pop()
        maps = [] if self.levels else [x]
        for level in self.levels:
            x = level(x, features.pop())
            maps.insert(0, x)
            if not every_level:
                del maps[1:]
        return [head(x) for head, x in zip(self.heads, maps, strict=False)]
