"""The head and the neck at the size of an adult: the eight organs of the thesis, and four more."""

from __future__ import annotations

from dataset_conversion.anatomy import Body, Pose, Tissue, Variation, both
from dataset_conversion.bodies import (
    AIR_HU,
    BONE_HU,
    BRAIN_HU,
    FAT_HU,
    FLUID_HU,
    GLAND_HU,
    MUSCLE_HU,
    SOFT_HU,
    STEM_HU,
)
from dataset_conversion.solids import Arch, Column, Ellipsoid, Tube, pair

HEAD_NECK = Body(
    "heads and necks",
    (240.0, 220.0, 180.0),
    (80, 88, 72),
    (
        # The head, the face and the neck; the skull with the brain in it.
        Tissue(
            FAT_HU,
            (
                Ellipsoid((0, -4, 40), (76, 94, 94)),
                Ellipsoid((0, 28, -32), (66, 66, 58)),
                Column((0, -20, -80), (70, 66, 80)),
            ),
            varies=False,
        ),
        Tissue(
            MUSCLE_HU,
            (
                Ellipsoid((0, -4, 40), (71, 89, 89)),
                Ellipsoid((0, 26, -32), (60, 60, 52)),
                Column((0, -20, -80), (61, 57, 80)),
            ),
            varies=False,
        ),
        Tissue(BONE_HU, (Ellipsoid((0, -6, 48), (68, 84, 78), floor_mm=-8),), varies=False),
        Tissue(BRAIN_HU, (Ellipsoid((0, -6, 48), (61, 77, 71), floor_mm=-2),), varies=False),
        # What looks like the brainstem and the nerves, like an eye, like a gland, like the mandible.
        Tissue(STEM_HU, (Ellipsoid((0, -44, 12), (38, 20, 18)),)),
        Tissue(FLUID_HU, pair(Ellipsoid((14, 0, 70), (8, 30, 11)))),
        Tissue(AIR_HU, (Ellipsoid((0, 56, -12), (14, 22, 12)), *pair(Ellipsoid((28, 52, -14), (12, 12, 12))))),
        Tissue(AIR_HU, (Tube(((0, 22, -14), (0, 12, -50), (0, 16, -80)), 8),)),
        Tissue(BONE_HU, (Column((0, -24, -72), (13, 12, 52)), Column((0, -50, -72), (16, 10, 52))), varies=False),
        Tissue(FLUID_HU, (Column((0, -38, -72), (11, 10, 52)),), varies=False),
        Tissue(STEM_HU, pair(Tube(((34, -10, -120), (30, -6, -60), (34, -14, -20)), 5.5))),
        Tissue(GLAND_HU, pair(Ellipsoid((38, -40, -70), (12, 12, 22)))),
        Tissue(GLAND_HU, (Ellipsoid((0, 46, -58), (18, 14, 9)),)),
        Tissue(BONE_HU, (Arch((0, 30, -24), (32, 38, 6), 10),)),
        Tissue(FAT_HU, pair(Ellipsoid((31, 63, 15), (18, 26, 18))), varies=False),
        Tissue(
            STEM_HU,
            pair(Tube(((44, 82, 15), (43, 58, 15), (20, 38, 18)), 2.2), Tube(((19, 82, 15), (20, 58, 15)), 2.2)),
        ),
        # The organs.
        Tissue(STEM_HU, (Ellipsoid((0, -20, 12), (14, 13, 34.5)),), "brainstem"),
        Tissue(STEM_HU, (Column((0, -38, -77), (9, 8.5, 57)),), "spinal_cord", varies=False),
        *both(FLUID_HU, "eye", Ellipsoid((32, 74, 15), (12, 12, 12))),
        *both(STEM_HU, "optic_nerve", Tube(((31, 62, 15), (22, 44, 17), (12, 34, 20)), 2.5)),
        *both(GLAND_HU, "parotid", Ellipsoid((54, -8, -24), (13, 21, 24))),
        *both(SOFT_HU, "submandibular", Ellipsoid((32, 34, -66), (9, 14, 15))),
        Tissue(
            BONE_HU, (Arch((0, 24, -48), (46, 52, 11), 11), *pair(Ellipsoid((45, 18, -24), (6, 14, 28)))), "mandible"
        ),
        Tissue(SOFT_HU, (Column((0, 22, -94), (17, 17, 13)),), "larynx"),
        Tissue(AIR_HU, (Column((0, 18, -94), (7, 8, 26)),), within="larynx"),
    ),
    Pose(turn_deg=5, shift_mm=5, scale=(0.96, 1.04)),
    Variation(shift_mm=2, scale=(0.96, 1.04)),
)
