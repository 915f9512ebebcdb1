"""The thorax at the size of an adult, arms raised."""

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

RIBS = tuple(Ring((0, -5, z), (146, 96, 4), 9) for z in range(-135, 136, 30))
VESSELS = (
    Tube(((14, 0, 20), (48, 10, 40), (75, 20, 75)), 6),
    Tube(((30, -8, 10), (60, -25, -20), (80, -35, -60)), 6),
    Tube(((60, 15, 10), (90, 30, -10)), 4),
)

THORAX = Body(
    "chests",
    (320.0, 280.0, 400.0),
    (64, 80, 112),
    (
        # The wall, the ribs, the spine and the mediastinum.
        Tissue(FAT_HU, (Column((0, 0, 0), (178, 122, 200)),), varies=False),
        Tissue(MUSCLE_HU, (Column((0, -5, 0), (160, 108, 200)),), varies=False),
        Tissue(BONE_HU, RIBS, varies=False),
        Tissue(FAT_HU, (Column((0, 5, 0), (34, 68, 200)),), varies=False),
        Tissue(BONE_HU, (Column((0, -62, 0), (21, 18, 200)), Column((0, -97, 0), (20, 11, 200))), varies=False),
        Tissue(BONE_HU, (Ellipsoid((0, 88, 20), (20, 7, 90)),), varies=False),
        Tissue(FLUID_HU, (Column((0, -86, 0), (10, 9, 200)),), varies=False),
        # The lungs with their vessels; below them the liver.
        *both(LUNG_HU, "lung", Ellipsoid((79, -2, 10), (56, 80, 116), floor_mm=-90)),
        Tissue(LIVER_HU, (Ellipsoid((62, 5, -150), (74, 76, 84)),)),
        Tissue(SOFT_HU, (Ellipsoid((-70, 0, -150), (66, 66, 66)),)),
        Tissue(SOFT_HU, VESSELS, within="lung_right"),
        Tissue(SOFT_HU, pair(*VESSELS)[len(VESSELS) :], within="lung_left"),
        # The organs between the lungs, and the great vessels and the bronchi that look like them.
        Tissue(MUSCLE_HU, (Ellipsoid((-24, 22, -45), (54, 50, 58)),), "heart"),
        Tissue(MUSCLE_HU, (Column((24, 8, 55), (9, 9, 50)), Tube(((-8, 22, 5), (-4, 4, 28), (22, -8, 28)), 12))),
        Tissue(AIR_HU, pair(Tube(((0, -22, 44), (20, -22, 22), (42, -20, 8)), 6))),
        Tissue(
            MUSCLE_HU,
            (
                Tube(((2, 22, 5), (10, 16, 55), (-4, -4, 80), (-22, -34, 74)), 14),
                Tube(((-22, -34, 74), (-26, -48, 50), (-24, -54, -40), (-12, -46, -180)), 12),
            ),
            "aorta",
        ),
        Tissue(AIR_HU, (Column((2, -16, 102), (8.5, 8.5, 60)),), "trachea"),
        Tissue(SOFT_HU, (Tube(((2, -34, 180), (-2, -36, 60), (2, -38, -40), (-12, -26, -170)), 6.3),), "esophagus"),
        Tissue(AIR_HU, (Tube(((0, -35, 120), (0, -36, 70)), 2.5),), within="esophagus"),
        Tissue(STEM_HU, (Column((0, -86, 0), (6.5, 6, 200)),), "spinal_cord", varies=False),
    ),
    Pose(turn_deg=3, shift_mm=6, scale=(0.96, 1.04)),
    Variation(shift_mm=3, scale=(0.96, 1.04)),
)
