"""The four sites of radiotherapy: which organs each has, and the windows in which their CT is usually looked at.

The organs that treatment planning asks for come first. Windows are those of Radiopaedia, "Windowing (CT)".
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dataset_conversion import organs
from dataset_conversion.organ_names import Reading, organ_key, readings
from dataset_conversion.organs import Organ

NEAR = 0.7
"""Two keys are near from this difflib ratio on: "parotis" and "parotid" have 0.86, "heart" and "head" 0.67."""


@dataclass(frozen=True)
class Window:
    """The intensities that a display, or a normalisation that clips, distinguishes."""

    level_hu: float
    width_hu: float

    @property
    def range_hu(self) -> tuple[float, float]:
        """The lowest and the highest intensity."""
        return self.level_hu - self.width_hu / 2, self.level_hu + self.width_hu / 2


@dataclass(frozen=True)
class Site:
    """A part of the body. organs: in the order of their label values. windows: the usual ones, the pictures' first."""

    title: str
    organs: tuple[Organ, ...]
    windows: Mapping[str, Window]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes, left before right."""
        return tuple(name for organ in self.organs for name in organ.classes)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The (left, right) classes."""
        return tuple((organ.classes[0], organ.classes[1]) for organ in self.organs if organ.paired)

    def find(self, name: str) -> tuple[str, ...]:
        """The classes that a name means: one; none where it is unknown; more where it is ambiguous.

        An organ of a pair needs a side, and one without a pair must have none: "Lung" and "Heart_L" mean nothing.
        """
        found = {match for reading in readings(name) for match in self._classes_of(reading)}
        return tuple(sorted(found, key=self.classes.index))

    def near(self, name: str) -> tuple[str, ...]:
        """The classes with a spelling like the name, the likeliest first; of the name's side where it has one."""
        likeness: dict[str, float] = {}
        for reading in readings(name):
            for key, organ in self._spellings:
                ratio = difflib.SequenceMatcher(None, reading.key, key).ratio()
                for match in _on_side(organ, reading) if ratio >= NEAR else ():
                    likeness[match] = max(ratio, likeness.get(match, 0.0))
        return tuple(sorted(likeness, key=lambda match: (-likeness[match], self.classes.index(match))))

    def _classes_of(self, reading: Reading) -> tuple[str, ...]:
        named = [organ for key, organ in self._spellings if key == reading.key]
        return tuple(
            match for organ in named if organ.paired == (reading.side is not None) for match in _on_side(organ, reading)
        )

    @cached_property
    def _spellings(self) -> tuple[tuple[str, Organ], ...]:
        return tuple((organ_key(text), organ) for organ in self.organs for text in organ.all_spellings)


def _on_side(organ: Organ, reading: Reading) -> tuple[str, ...]:
    """The organ's classes on the side that the reading names, or all."""
    if not organ.paired or reading.side is None:
        return organ.classes
    return (f"{organ.name}_{reading.side}",)


SITES = {
    "head_neck": Site(
        "head and neck",
        (
            organs.BRAINSTEM,
            organs.EYE,
            organs.OPTIC_NERVE,
            organs.PAROTID,
            organs.MANDIBLE,
            organs.BRAIN,
            organs.TEMPORAL_LOBE,
            organs.LENS,
            organs.OPTIC_CHIASM,
            organs.PITUITARY,
            organs.LACRIMAL_GLAND,
            organs.COCHLEA,
            organs.INNER_EAR,
            organs.MIDDLE_EAR,
            organs.TMJ,
            organs.SUBMANDIBULAR,
            organs.ORAL_CAVITY,
            organs.CONSTRICTOR,
            organs.LARYNX,
            organs.THYROID,
            organs.ESOPHAGUS,
            organs.BRACHIAL_PLEXUS,
            organs.SPINAL_CORD,
        ),
        {
            "soft tissue": Window(50, 350),
            "brain": Window(40, 80),
            "temporal bone": Window(600, 2800),
            "bone": Window(400, 1800),
        },
    ),
    "thorax": Site(
        "thorax",
        (
            organs.SPINAL_CORD,
            organs.LUNG,
            organs.HEART,
            organs.ESOPHAGUS,
            organs.TRACHEA,
            organs.MAIN_BRONCHUS,
            organs.AORTA,
            organs.SUPERIOR_VENA_CAVA,
            organs.BREAST,
            organs.BRACHIAL_PLEXUS,
        ),
        {"mediastinum": Window(50, 350), "lung": Window(-600, 1500), "bone": Window(400, 1800)},
    ),
    "abdomen": Site(
        "abdomen",
        (
            organs.KIDNEY,
            organs.LIVER,
            organs.SPINAL_CORD,
            organs.SPLEEN,
            organs.PANCREAS,
            organs.STOMACH,
            organs.GALLBLADDER,
            organs.DUODENUM,
            organs.ADRENAL,
            organs.ESOPHAGUS,
            organs.AORTA,
            organs.INFERIOR_VENA_CAVA,
            organs.PORTAL_VEIN,
            organs.SMALL_BOWEL,
            organs.COLON,
        ),
        {"soft tissue": Window(50, 400), "liver": Window(30, 150), "bone": Window(400, 1800)},
    ),
    "pelvis": Site(
        "pelvis",
        (
            organs.BLADDER,
            organs.FEMORAL_HEAD,
            organs.SMALL_BOWEL,
            organs.RECTUM,
            organs.SPINAL_CORD,
            organs.COLON,
            organs.SIGMOID,
            organs.ANAL_CANAL,
            organs.PROSTATE,
            organs.SEMINAL_VESICLES,
            organs.PENILE_BULB,
            organs.UTERUS,
            organs.CAUDA_EQUINA,
        ),
        {"soft tissue": Window(40, 400), "bone": Window(400, 1800)},
    ),
}
