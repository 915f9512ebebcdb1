"""The plain U-Net (Ronneberger et al., 2015, arXiv:1505.04597; Isensee et al., 2021)."""

from __future__ import annotations

from torch import Tensor, nn

from autoseg.networks.blocks import chain
from autoseg.networks.decoder import Decoder, features_of
from autoseg.plans import NetworkSpec


class UNet(nn.Module):
    """Convolution blocks per level on the way down, the shared decoder on the way up.

    deep_supervision: whether the training mode gives the logits of every decoder level.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.deep_supervision = True
        self.encoder = nn.ModuleList()
        width = spec.in_channels
        for level in spec.levels:
            self.encoder.append(chain(width, level.encoder_widths, kernel=level.kernel, stride=level.stride))
            width = level.encoder_widths[-1]
        self.decoder = Decoder(spec)

    def forward(self, image: Tensor) -> list[Tensor] | Tensor:
        """image: (B, in_channels, ...). Returns (B, out_channels, ...) logits; see build_network."""
        features = features_of(self.encoder, image)
        every_level = self.training and self.deep_supervision
        logits = self.decoder(features, every_level=every_level)
        return logits if every_level else logits[0]
