"""The numbers in which families of networks differ."""

from __future__ import annotations

from dataclasses import dataclass

REFERENCE_BATCH = {3: 2, 2: 12}
"""By dimensions of the network: the batch for which the reference number of feature map values holds."""
WIDEST = {3: 320, 2: 512}
BASE_FILTERS = 32


@dataclass(frozen=True)
class Family:
    """What a planner builds its networks like; by-dimension values have the keys 3 and 2.

    encoder_depth: convolutions (blocks, in a residual encoder) per level, finest first, the last one repeated.
    reference_values: feature map values of one sample (see rules.memory) at which REFERENCE_BATCH samples fill 8 GB.
    fitted_batch: the batch that must fit; the patch shrinks until it does. covered_share: of the dataset's voxels, at
    most, in one batch.
    """

    planner: str
    architecture: str
    encoder_depth: tuple[int, ...]
    decoder_depth: int
    reference_values: dict[int, float]
    fitted_batch: dict[int, int]
    covered_share: float

    def depth(self, level: int) -> int:
        """Convolutions or blocks of the encoder at a level."""
        return self.encoder_depth[min(level, len(self.encoder_depth) - 1)]


PLAIN = Family("default", "unet", (2,), 2, {3: 560e6, 2: 85e6}, {3: 2, 2: 2}, 0.05)
RESIDUAL = Family("residual", "residual_unet", (1, 3, 4, 6), 1, {3: 680e6, 2: 135e6}, {3: 2, 2: 12}, 1.0)
