"""The upper abdomen at the size of an adult, from the domes of the diaphragm to the iliac crests."""

from __future__ import annotations

from dataset_conversion.anatomy import Body, Pose, Tissue, Variation, both
from dataset_conversion.bodies import (
    AIR_HU,
    BONE_HU,
    FAT_HU,
    FLUID_HU,
    LIVER_HU,
    LUNG_HU,
    MUSCLE_HU,
    SOFT_HU,
    STEM_HU,
)
from dataset_conversion.solids import Column, Ellipsoid, Ring, Tube, pair

LIVER_RIGHT_LOBE = Ellipsoid((66, 8, 48), (65, 64, 72))
LIVER_LEFT_LOBE = Ellipsoid((-6, 42, 66), (50, 28, 34))

WALL = (
    Tissue(FAT_HU, (Column((0, 0, 0), (168, 118, 200)),), varies=False),
    Tissue(MUSCLE_HU, (Column((0, -2, 0), (150, 100, 200)),), varies=False),
    Tissue(BONE_HU, tuple(Ring((0, -2, z), (143, 93, 4), 8) for z in range(20, 151, 30)), varies=False),
    Tissue(FAT_HU, (Column((0, 14, 0), (134, 78, 200)),), varies=False),
    Tissue(MUSCLE_HU, pair(Column((44, -66, 0), (32, 22, 200)), Column((40, -44, -100), (19, 19, 80))), varies=False),
    Tissue(BONE_HU, (Column((0, -46, 0), (23, 18, 200)), Column((0, -82, 0), (20, 12, 200))), varies=False),
    Tissue(FLUID_HU, (Column((0, -70, 0), (11, 10, 200)),), varies=False),
    Tissue(LUNG_HU, pair(Ellipsoid((72, -6, 165), (58, 66, 60)))),
    # Bowel: soft, with fluid or gas in it.
    Tissue(
        SOFT_HU,
        (Tube(((108, -4, -120), (108, 0, -50), (70, 50, -50), (0, 66, -58), (-70, 50, -40), (-112, -8, -20)), 18),),
    ),
    Tissue(SOFT_HU, (Tube(((-112, -8, -20), (-112, -12, -140)), 15),)),
    Tissue(AIR_HU, (Tube(((50, 60, -53), (-40, 62, -50)), 9), Ellipsoid((106, 8, -70), (9, 8, 22)))),
    Tissue(
        SOFT_HU,
        (Tube(((60, 30, -90), (-10, 44, -96), (-70, 26, -92), (-20, 10, -118), (50, 20, -130), (-50, 34, -140)), 15),),
    ),
    Tissue(FLUID_HU, (Tube(((20, 38, -94), (-40, 36, -94)), 9), Tube(((30, 18, -126), (0, 24, -134)), 8))),
    Tissue(SOFT_HU, (Tube(((16, 34, -2), (38, 26, -6), (44, 6, -20), (38, 0, -48), (0, 2, -58)), 11),)),
)
UNPAIRED = (
    Tissue(LIVER_HU, (LIVER_RIGHT_LOBE, LIVER_LEFT_LOBE), "liver"),
    Tissue(
        MUSCLE_HU,
        (Tube(((62, 4, 70), (34, 0, 84), (22, -8, 96)), 5), Tube(((60, 30, 50), (40, 12, 72)), 4)),
        within="liver",
    ),
    Tissue(
        SOFT_HU,
        (Ellipsoid((-60, 30, 52), (35, 33, 50)), Tube(((-56, 34, 18), (-26, 46, 2), (8, 42, 6)), 16)),
        "stomach",
    ),
    Tissue(AIR_HU, (Ellipsoid((-60, 48, 58), (20, 12, 26)),), within="stomach"),
    Tissue(FLUID_HU, (Ellipsoid((-58, 22, 44), (20, 14, 26)),), within="stomach"),
    Tissue(MUSCLE_HU, (Ellipsoid((-100, -22, 58), (21, 34, 42)),), "spleen"),
    Tissue(FLUID_HU, (Ellipsoid((50, 54, -14), (18, 19, 35)),), "gallbladder"),
    Tissue(
        SOFT_HU,
        (Ellipsoid((30, 12, -12), (18, 17, 24)), Tube(((24, 14, -2), (4, 16, 10), (-28, 6, 18), (-66, -6, 32)), 13.5)),
        "pancreas",
    ),
    Tissue(MUSCLE_HU, (Tube(((22, -6, 160), (22, -14, 0), (14, -20, -105)), 10.5),)),
    Tissue(MUSCLE_HU, (Tube(((-8, -18, 180), (-8, -17, 0), (-4, -20, -100)), 10),), "aorta"),
    Tissue(STEM_HU, (Column((0, -70, 75), (8, 7, 95)),), "spinal_cord", varies=False),
)
KIDNEY_RIGHT = Ellipsoid((62, -34, -10), (26, 24, 50))
ADRENAL_RIGHT = Ellipsoid((38, -28, 54), (7, 12, 17))

ABDOMEN = Body(
    "abdomens",
    (300.0, 260.0, 360.0),
    (64, 72, 104),
    (
        *WALL,
        *UNPAIRED,
        *both(MUSCLE_HU, "kidney", KIDNEY_RIGHT),
        Tissue(FAT_HU, pair(Ellipsoid((46, -32, -10), (8, 8, 16)))),
        *both(SOFT_HU, "adrenal", ADRENAL_RIGHT),
    ),
    Pose(turn_deg=3, shift_mm=6, scale=(0.96, 1.04)),
    Variation(shift_mm=3, scale=(0.96, 1.04)),
)
