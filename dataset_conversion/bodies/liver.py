"""The abdomen once more with one organ, the liver, and tumours in it: for what finds an organ and then lesions."""

from __future__ import annotations

from dataclasses import replace

from dataset_conversion.anatomy import Lesions, Tissue
from dataset_conversion.bodies import MUSCLE_HU, SOFT_HU
from dataset_conversion.bodies.abdomen import ABDOMEN, ADRENAL_RIGHT, KIDNEY_RIGHT, LIVER_RIGHT_LOBE, UNPAIRED, WALL
from dataset_conversion.solids import pair

TUMOURS = Lesions(SOFT_HU - 15, "tumour", "liver", LIVER_RIGHT_LOBE, count=(1, 5), radius_mm=(5, 24))


def _without_name(tissue: Tissue) -> Tissue:
    """What surrounds the liver is still there, but it is no class."""
    return tissue if "liver" in (tissue.organ, tissue.within) else replace(tissue, organ=None, within=None)


LIVER_WITH_TUMOURS = replace(
    ABDOMEN,
    title="livers with tumours",
    tissues=(
        *WALL,
        *(_without_name(tissue) for tissue in UNPAIRED),
        Tissue(MUSCLE_HU, pair(KIDNEY_RIGHT)),
        Tissue(SOFT_HU, pair(ADRENAL_RIGHT)),
        TUMOURS,
    ),
)
