"""The head of the demo: small and quick, with six organs that are larger or smaller than real ones.

Every organ shares its intensity with something that is no organ.
"""

from __future__ import annotations

from dataset_conversion.anatomy import Body, Tissue
from dataset_conversion.bodies import AIR_HU, BONE_HU, BRAIN_HU, FAT_HU, FLUID_HU, GLAND_HU, MUSCLE_HU, STEM_HU
from dataset_conversion.solids import Arch, Column, Ellipsoid, mirrored, pair

PAROTID_RIGHT = Ellipsoid((26, -8, -16), (7, 11, 12))
EYE_RIGHT = Ellipsoid((17, 31, 12), (7, 7, 7))

TISSUES = (
    # The head and the neck, the skull with the brain in it.
    Tissue(FAT_HU, (Ellipsoid((0, 0, 8), (42, 48, 54)), Column((0, -6, -45), (32, 34, 40))), varies=False),
    Tissue(MUSCLE_HU, (Ellipsoid((0, 0, 8), (39, 45, 51)), Column((0, -6, -45), (28, 30, 40))), varies=False),
    Tissue(BONE_HU, (Ellipsoid((0, 0, 10), (36, 42, 46), floor_mm=-6),), varies=False),
    Tissue(BRAIN_HU, (Ellipsoid((0, 0, 10), (32, 38, 42), floor_mm=-2),), varies=False),
    # What looks like the brainstem (cerebellum, cord, vessels), like an eye, like a gland, and like the mandible.
    Tissue(STEM_HU, (Ellipsoid((0, -26, 6), (20, 8, 7)),)),
    Tissue(FLUID_HU, pair(Ellipsoid((8, 2, 30), (5, 14, 6)))),
    Tissue(AIR_HU, (Column((0, 6, -35), (6, 5, 28)),)),
    Tissue(BONE_HU, (Column((0, -22, -42), (10, 9, 32)),), varies=False),
    Tissue(STEM_HU, (Column((0, -19, -42), (4, 4, 40)),), varies=False),
    Tissue(STEM_HU, pair(Column((15, -4, -42), (3.5, 3.5, 24)))),
    Tissue(GLAND_HU, (*pair(Ellipsoid((17, -22, -44), (6, 7, 10))), Ellipsoid((0, 20, -42), (13, 7, 6)))),
    Tissue(BONE_HU, (Arch((0, 10, -7), (17, 20, 4)),)),
    Tissue(FAT_HU, pair(Ellipsoid((17, 29, 12), (10, 12, 10))), varies=False),
    # The organs.
    Tissue(STEM_HU, (Ellipsoid((0, -13, -3), (9, 8, 18)),), "brainstem"),
    Tissue(FLUID_HU, (mirrored(EYE_RIGHT),), "eye_left"),
    Tissue(FLUID_HU, (EYE_RIGHT,), "eye_right"),
    Tissue(GLAND_HU, (mirrored(PAROTID_RIGHT),), "parotid_left"),
    Tissue(GLAND_HU, (PAROTID_RIGHT,), "parotid_right"),
    Tissue(BONE_HU, (Arch((0, 4, -22), (24, 25, 7)), *pair(Ellipsoid((24, 4, -12), (4, 7, 13)))), "mandible"),
)

HEAD = Body("heads", (120.0, 120.0, 120.0), (40, 80, 80), TISSUES)
