"""Rules that clean a segmentation, as data, and how they are applied.

Components touch by faces, edges or corners; holes are closed off by faces only. What a rule takes from an exclusive
class becomes background, and a hole is given to the class only where it is background. Of overlapping regions, a voxel
that changes is painted anew by the regions that it still belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import FormatError, OptionError
from autoseg.files import read_artefact, write_json
from autoseg.geometry import Box
from autoseg.labels import Labels

POSTPROCESSING_SCHEMA = 1
KINDS = ("largest_component", "minimum_volume", "fill_holes")


@dataclass(frozen=True)
class Rule:
    """One way of cleaning.

    kind: largest_component keeps the largest one; minimum_volume removes components below minimum_mm3; fill_holes gives
    enclosed background to the class. target: a class; None for all foreground together (not for fill_holes).
    """

    kind: str
    target: str | None = None
    minimum_mm3: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"There is no postprocessing rule {self.kind!r}.", f"Known: {', '.join(KINDS)}.")
        if self.kind == "fill_holes" and self.target is None:
            raise OptionError("The rule fill_holes needs a class as its target.")
        if (self.minimum_mm3 > 0) != (self.kind == "minimum_volume"):
            raise OptionError(f"minimum_mm3 belongs to minimum_volume, not {self.minimum_mm3} to {self.kind}.")


@dataclass(frozen=True)
class KeptRule:
    """A rule and the mean Dice over classes of the cross-validated predictions without and with it."""

    rule: Rule
    dice_before: float
    dice_after: float


@dataclass(frozen=True)
class Postprocessing:
    """Rules in the order in which they are applied.

    cases: how many predictions they were chosen on. made_from: the checksum of all that they depend on.
    """

    kept: tuple[KeptRule, ...] = ()
    cases: int = 0
    made_from: str = ""
    schema: int = POSTPROCESSING_SCHEMA

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules alone."""
        return tuple(kept.rule for kept in self.kept)


def read_rules(path: Path, labels: Labels) -> Postprocessing:
    """Read a postprocessing.json; FormatError names an unknown key, kind or class."""
    try:
        read = read_artefact(Postprocessing, path, remedy="Delete it or make it again.")
    except OptionError as error:
        raise FormatError(path, error.fact, error.remedy) from error
    for rule in read.rules:
        if rule.target is not None and rule.target not in labels.classes:
            raise FormatError(path, f"names the class {rule.target!r}, which is not among {', '.join(labels.names)}.")
    return read


def write_rules(path: Path, postprocessing: Postprocessing) -> None:
    """Write a postprocessing.json whole or not at all."""
    write_json(path, postprocessing)


def common_rules(rules: Sequence[tuple[Rule, ...]]) -> tuple[Rule, ...]:
    """The rules that every model has, in the order of the first."""
    return tuple(rule for rule in rules[0] if all(rule in others for others in rules[1:]))


def apply_rules(prediction: np.ndarray, rules: Iterable[Rule], labels: Labels, voxel_volume_mm3: float) -> np.ndarray:
    """Clean a prediction. prediction: (Z, Y, X) label values, left as it is. Returns a cleaned copy.

    A class that is absent stays absent.
    """
    cleaned = prediction.copy()
    for rule in rules:
        found = Target.of(cleaned, rule.target, labels)
        if found is not None:
            found.part[...] = found.after(rule, labels, voxel_volume_mm3)
    return cleaned


@dataclass(frozen=True, eq=False)
class Target:
    """What a rule looks at: nothing outside of the box around a class, or around all foreground, changes anything.

    box: around it. part: the prediction within, a view. mask: where the class is in it.
    """

    name: str | None
    box: Box
    part: np.ndarray
    mask: np.ndarray

    @classmethod
    def of(cls, prediction: np.ndarray, name: str | None, labels: Labels) -> Target | None:
        """The class in a prediction (Z, Y, X), or with None all foreground; None where it is absent."""
        mask = prediction > 0 if name is None else labels.mask(prediction, name)
        box = Box.around(mask)
        return None if box is None else cls(name, box, prediction[box.slices], mask[box.slices])

    def after(
        self, rule: Rule, labels: Labels, voxel_volume_mm3: float, components: Components | None = None
    ) -> np.ndarray:
        """The part as the rule leaves it, a new array. components: of the mask, where several rules share them."""
        mask, after = self.mask, self._mask_after(rule, voxel_volume_mm3, components)
        cleaned = self.part.copy()
        if self.name is not None and labels.has_regions:
            regions = [after if name == self.name else labels.mask(cleaned, name) for name in labels.names]
            cleaned[mask != after] = labels.painted(regions)[mask != after]
            return cleaned
        cleaned[mask & ~after] = 0
        if self.name is not None:
            cleaned[after & (cleaned == 0)] = labels.classes[self.name][0]
        return cleaned

    def _mask_after(self, rule: Rule, voxel_volume_mm3: float, components: Components | None) -> np.ndarray:
        if rule.kind == "fill_holes":
            return filled(self.mask)
        return (components or Components.of(self.mask)).kept(rule, voxel_volume_mm3)


@dataclass(frozen=True, eq=False)
class Components:
    """The connected parts of a mask. numbers: (z, y, x), 0 for none. sizes: voxels by number, 0 of number 0."""

    numbers: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> Components:
        """Parts that touch by faces, edges or corners; counted plane by plane, for little memory."""
        from scipy import ndimage

        numbers, count = ndimage.label(mask, np.ones((3, 3, 3)))
        sizes = np.zeros(count + 1, dtype=np.int64)
        for plane in numbers:
            sizes += np.bincount(plane.ravel(), minlength=count + 1)
        sizes[0] = 0
        return cls(numbers, sizes)

    def kept(self, rule: Rule, voxel_volume_mm3: float) -> np.ndarray:
        """The voxels of the parts that a rule leaves."""
        kept = self.sizes * voxel_volume_mm3 >= max(rule.minimum_mm3, voxel_volume_mm3)
        if rule.kind == "largest_component":
            kept = np.arange(len(self.sizes)) == self.sizes.argmax()
        after = np.empty(self.numbers.shape, dtype=bool)
        for plane, numbers in zip(after, self.numbers, strict=True):
            np.take(kept, numbers, out=plane)
        return after


def filled(mask: np.ndarray) -> np.ndarray:
    """A mask (z, y, x) with what it encloses: background from which no way over faces leads out of the array.

    What scipy's binary_fill_holes finds by dilating the outside step by step, from components of the background.
    """
    from scipy import ndimage

    numbers, count = ndimage.label(~mask)
    is_open = np.zeros(count + 1, dtype=bool)
    for axis in range(mask.ndim):
        for face in (0, -1):
            is_open[np.take(numbers, face, axis)] = True
    is_open[0] = False  # the mask itself
    return ~is_open[numbers]
