"""What the phantom's bodies are made of: tissues of one intensity, painted one over the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dataset_conversion.solids import Ellipsoid, Point, Solid, mirrored, moved


@dataclass(frozen=True)
class Variation:
    """How far tissues differ from patient to patient, besides the whole body: moved along each axis, and scaled."""

    shift_mm: float = 2.0
    scale: tuple[float, float] = (0.9, 1.1)


@dataclass(frozen=True)
class Tissue:
    """Solids of one intensity. organ: the name of the class that it is, or None for what surrounds the organs.

    varies: whether it moves and grows from patient to patient. within: the class outside of which nothing of it is
    painted; what is no organ is then part of that class, such as the gas in a bowel.
    """

    intensity_hu: float
    solids: tuple[Solid, ...]
    organ: str | None = None
    varies: bool = True
    within: str | None = None

    def of_patient(self, random: np.random.Generator, variation: Variation) -> Tissue:
        """The tissue of one patient: its solids moved and scaled together."""
        if not self.varies:
            return self
        shift, factor = random.uniform(-variation.shift_mm, variation.shift_mm, 3), random.uniform(*variation.scale)
        return replace(self, solids=tuple(moved(solid, shift, factor) for solid in self.solids))


@dataclass(frozen=True)
class Lesions:
    """Balls that every patient has others of, all within a class.

    count: the fewest and the most of a patient. radius_mm: the smallest and the largest; small ones are as frequent as
    large ones on a logarithmic scale. around: their centres lie within 0.7 of its radii.
    """

    intensity_hu: float
    organ: str
    within: str
    around: Ellipsoid
    count: tuple[int, int]
    radius_mm: tuple[float, float]

    def of_patient(self, random: np.random.Generator, variation: Variation) -> Tissue:
        """The lesions of one patient."""
        balls = tuple(self._ball(random) for _ in range(random.integers(self.count[0], self.count[1] + 1)))
        return Tissue(self.intensity_hu, balls, self.organ, within=self.within)

    def _ball(self, random: np.random.Generator) -> Ellipsoid:
        direction = random.standard_normal(3)
        direction *= 0.7 * random.uniform() ** (1 / 3) / np.linalg.norm(direction)
        radius = float(np.exp(random.uniform(*np.log(self.radius_mm))))
        x, y, z = (np.asarray(self.around.centre_mm) + direction * np.asarray(self.around.radii_mm)).tolist()
        return Ellipsoid((x, y, z), (radius, radius, radius))


@dataclass(frozen=True)
class Pose:
    """How patients lie: turned about each axis, moved along each, and their size. The largest values, both ways."""

    turn_deg: float = 8.0
    shift_mm: float = 4.0
    scale: tuple[float, float] = (0.92, 1.08)


@dataclass(frozen=True)
class Body:
    """A part of the body to be drawn.

    title: what it is, in the plural. extent_mm: of the field of view, z, y, x, give or take 3 %. shape: in voxels,
    unless another is asked for. tissues: later ones are painted over earlier ones.
    """

    title: str
    extent_mm: Point
    shape: tuple[int, int, int]
    tissues: Sequence[Tissue | Lesions]
    pose: Pose = field(default_factory=Pose)
    variation: Variation = field(default_factory=Variation)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes, in the order of their values from 1 on."""
        return tuple(dict.fromkeys(tissue.organ for tissue in self.tissues if tissue.organ))


def both(intensity_hu: float, organ: str, *right: Solid) -> tuple[Tissue, Tissue]:
    """The left and the right organ of a pair. right: the solids of the right one."""
    left = tuple(mirrored(solid) for solid in right)
    return Tissue(intensity_hu, left, f"{organ}_left"), Tissue(intensity_hu, right, f"{organ}_right")
