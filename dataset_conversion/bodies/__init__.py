"""The bodies that the phantom draws: one part of the body each, in a module of its own.

What all share stands here: the intensities in HU, without contrast medium, as in most planning CT. Soft tissues lie
within the noise of one another, so that only shape and place tell the organs apart. The bodies of the four sites have
adult sizes: each organ keeps to its VolumeRange in `organs`.
"""

AIR_HU = -1000
LUNG_HU = -830
FAT_HU = -90
GLAND_HU = -5
FLUID_HU = 5
BRAIN_HU = 30
SOFT_HU = 40
MUSCLE_HU = 45
LIVER_HU = 58
STEM_HU = 70
SPONGY_HU = 300
BONE_HU = 700

DEFAULT_BODY = "head"
BODIES = {
    "head": "dataset_conversion.bodies.head:HEAD",
    "head_neck": "dataset_conversion.bodies.head_neck:HEAD_NECK",
    "thorax": "dataset_conversion.bodies.thorax:THORAX",
    "abdomen": "dataset_conversion.bodies.abdomen:ABDOMEN",
    "pelvis": "dataset_conversion.bodies.pelvis:PELVIS",
    "liver": "dataset_conversion.bodies.liver:LIVER_WITH_TUMOURS",
}
