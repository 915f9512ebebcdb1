"""A man's pelvis at the size of an adult."""

from __future__ import annotations

from dataset_conversion.anatomy import Body, Pose, Tissue, Variation, both
from dataset_conversion.bodies import AIR_HU, BONE_HU, FAT_HU, FLUID_HU, MUSCLE_HU, SOFT_HU, SPONGY_HU, STEM_HU
from dataset_conversion.solids import Column, Ellipsoid, Tube, pair

PELVIS = Body(
    "pelves",
    (280.0, 250.0, 380.0),
    (56, 72, 104),
    (
        # The wall, and the cavity in it.
        Tissue(FAT_HU, (Column((0, 0, 0), (178, 112, 200)),), varies=False),
        Tissue(MUSCLE_HU, (Column((0, -4, 0), (150, 94, 200)),), varies=False),
        Tissue(FAT_HU, (Ellipsoid((0, 14, 40), (84, 66, 135)),), varies=False),
        # The bones: the sacrum and the lowest vertebra, the wings, the sockets, the pubis, the thighs.
        Tissue(BONE_HU, (Ellipsoid((0, -66, 58), (50, 20, 52)), Column((0, -38, 130), (25, 19, 32))), varies=False),
        Tissue(BONE_HU, (Column((0, -72, 130), (22, 13, 32)),), varies=False),
        Tissue(
            BONE_HU, pair(Ellipsoid((96, -24, 78), (13, 50, 62)), Ellipsoid((90, 4, -26), (34, 36, 36))), varies=False
        ),
        Tissue(
            BONE_HU,
            (Ellipsoid((0, 64, -60), (36, 13, 18)), *pair(Tube(((36, 62, -58), (70, 30, -36)), 9))),
            varies=False,
        ),
        Tissue(BONE_HU, pair(Tube(((70, -36, -80), (78, -18, -40)), 13)), varies=False),
        Tissue(FLUID_HU, pair(Ellipsoid((92, 4, -32), (28, 28, 28))), varies=False),
        Tissue(SPONGY_HU, pair(Tube(((94, 4, -34), (128, -2, -70), (128, 0, -160)), 15)), varies=False),
        Tissue(SPONGY_HU, (Ellipsoid((0, -64, 58), (42, 12, 44)),), varies=False),
        Tissue(FLUID_HU, (Tube(((0, -56, 200), (0, -56, 110), (0, -70, 50)), 10.5),), varies=False),
        Tissue(MUSCLE_HU, pair(Tube(((34, 8, 150), (60, 30, 60), (74, 46, 10)), 5))),
        # The organs, and the sigmoid that looks like the others.
        Tissue(SOFT_HU, (Tube(((-60, -10, 150), (-62, 0, 90), (-30, 0, 66), (-8, -34, 60)), 14),)),
        Tissue(AIR_HU, (Tube(((-61, 0, 130), (-62, 0, 100)), 8),)),
        Tissue(
            SOFT_HU,
            (Tube(((-44, 40, 72), (0, 50, 84), (46, 36, 70), (52, 26, 104), (4, 40, 116), (-44, 30, 112)), 16),),
            "small_bowel",
        ),
        Tissue(
            FLUID_HU,
            (Tube(((-20, 46, 79), (20, 44, 78)), 9), Tube(((30, 34, 110), (0, 40, 116)), 8)),
            within="small_bowel",
        ),
        Tissue(AIR_HU, (Tube(((50, 30, 95), (46, 30, 106)), 8),), within="small_bowel"),
        Tissue(FLUID_HU, (Ellipsoid((0, 28, 0), (46, 39, 40)),), "bladder"),
        Tissue(SOFT_HU, pair(Ellipsoid((16, -10, -24), (14, 6, 7)))),
        Tissue(SOFT_HU, (Ellipsoid((0, 20, -56), (20, 16, 18)),), "prostate"),
        Tissue(
            SOFT_HU,
            (Tube(((0, -14, -100), (0, -26, -62), (2, -38, -20), (0, -42, 18), (-8, -34, 52)), 13.5),),
            "rectum",
        ),
        Tissue(AIR_HU, (Ellipsoid((1, -34, -20), (6, 6, 16)),), within="rectum"),
        *both(SPONGY_HU, "femoral_head", Ellipsoid((92, 4, -32), (23, 23, 23))),
        Tissue(STEM_HU, (Tube(((0, -56, 200), (0, -56, 110), (0, -70, 48)), 8.5),), "spinal_cord", varies=False),
    ),
    Pose(turn_deg=3, shift_mm=6, scale=(0.96, 1.04)),
    Variation(shift_mm=3, scale=(0.96, 1.04)),
)
