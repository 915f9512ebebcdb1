"""The U-Net with a residual encoder (Isensee et al., 2024, arXiv:2404.09556)."""

from __future__ import annotations

from torch import Tensor, nn

from autoseg.errors import PlanningError
from autoseg.networks.blocks import ConvBlock, ResidualBlock
from autoseg.networks.decoder import Decoder, features_of
from autoseg.plans import LevelSpec, NetworkSpec


class ResidualUNet(nn.Module):
    """A stem, residual blocks per level on the way down, the shared decoder on the way up.

    The stem is one convolution block as wide as the first block of level 0. deep_supervision: whether the training mode
    gives the logits of every decoder level.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.deep_supervision = True
        width = spec.levels[0].encoder_widths[0]
        self.stem = ConvBlock(spec.in_channels, width, kernel=spec.levels[0].kernel)
        self.encoder = nn.ModuleList()
        for level in spec.levels:
            self.encoder.append(residual_chain(width, level))
            width = level.encoder_widths[-1]
        self.decoder = Decoder(spec)

    def forward(self, image: Tensor) -> list[Tensor] | Tensor:
        """image: (B, in_channels, ...). Returns (B, out_channels, ...) logits; see build_network."""
        features = features_of(self.encoder, self.stem(image))
        every_level = self.training and self.deep_supervision
        logits = self.decoder(features, every_level=every_level)
        return logits if every_level else logits[0]


def residual_chain(in_width: int, level: LevelSpec) -> nn.Sequential:
    """The residual blocks of a level one after the other; the first carries the stride."""
    if not level.inner_widths:
        raise PlanningError(f"A residual encoder needs inner widths at every level: {level}.")
    blocks, stride = [], level.stride
    for width, inner in zip(level.encoder_widths, level.inner_widths, strict=True):
        blocks.append(ResidualBlock(in_width, width, inner_width=inner, kernel=level.kernel, stride=stride))
        in_width, stride = width, (1,) * len(stride)
    return nn.Sequential(*blocks)
