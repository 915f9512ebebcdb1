"""Rules that clean a segmentation, as data: which ones pay is measured on cross-validated predictions.

Components touch by faces, edges or corners; holes are closed off by faces only. What a rule takes from an exclusive
class becomes background, and a hole is given to the class only where it is background. Of overlapping regions, a voxel
that changes is painted anew by the regions that it still belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg.errors import FileError, FormatError, OptionError
from autoseg.files import read_artefact, write_json
from autoseg.geometry import Box
from autoseg.labels import Labels

POSTPROCESSING_SCHEMA = 1
KINDS = ("largest_component", "minimum_volume", "fill_holes")
VOLUME_FRACTIONS = (0.05, 0.1, 0.25, 0.5)
SMALLEST_GAIN = 1e-5


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
    """Rules in the order in which they are applied. cases: how many predictions they were chosen on."""

    kept: tuple[KeptRule, ...] = ()
    cases: int = 0
    schema: int = POSTPROCESSING_SCHEMA

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules alone."""
        return tuple(kept.rule for kept in self.kept)


@dataclass(frozen=True)
class HeldOutCase:
    """A case predicted by a network that was not trained on it: files of predicted and of true labels, on one grid.

    not_contoured: classes that the reference leaves open.
    """

    prediction: Path
    reference: Path
    not_contoured: tuple[str, ...] = ()


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


def apply_rules(prediction: np.ndarray, rules: Iterable[Rule], labels: Labels, voxel_volume_mm3: float) -> np.ndarray:
    """Clean a prediction. prediction: (Z, Y, X) label values, left as it is. Returns a cleaned copy.

    A class that is absent stays absent.
    """
    cleaned = prediction.copy()
    for rule in rules:
        _apply(cleaned, rule, labels, voxel_volume_mm3)
    return cleaned


def _apply(prediction: np.ndarray, rule: Rule, labels: Labels, voxel_volume_mm3: float) -> None:
    from scipy import ndimage

    mask = prediction > 0 if rule.target is None else labels.mask(prediction, rule.target)
    box = Box.around(mask)
    if box is None:
        return
    mask, part = mask[box.slices], prediction[box.slices]
    after = ndimage.binary_fill_holes(mask) if rule.kind == "fill_holes" else _kept(mask, rule, voxel_volume_mm3)
    if rule.target is None:
        part[mask & ~after] = 0
    elif labels.has_regions:
        regions = [after if name == rule.target else labels.mask(part, name) for name in labels.names]
        part[mask != after] = labels.painted(regions)[mask != after]
    else:
        part[mask & ~after] = 0
        part[after & (part == 0)] = labels.classes[rule.target][0]


def _kept(mask: np.ndarray, rule: Rule, voxel_volume_mm3: float) -> np.ndarray:
    """The voxels of a mask whose component a rule leaves; counted plane by plane, for little memory."""
    from scipy import ndimage

    components, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.zeros(count + 1, dtype=np.int64)
    for plane in components:
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = sizes * voxel_volume_mm3 >= max(rule.minimum_mm3, voxel_volume_mm3)
    if rule.kind == "largest_component":
        kept = np.arange(len(sizes)) == sizes.argmax()
    after = np.empty_like(mask)
    for plane, numbers in zip(after, components, strict=True):
        np.take(kept, numbers, out=plane)
    return after


def choose_rules(cases: Iterable[HeldOutCase], labels: Labels) -> Postprocessing:
    """Try every rule in turn, on what the rules kept so far leave, and keep those that pay.

    A rule is kept where the mean over classes of the mean Dice over cases rises and that of no class falls. A class
    that is in neither prediction nor reference, or was not contoured, leaves the case out of that class's mean. The
    sizes tried for minimum_volume are fractions of the smallest reference component of the class. Of each case only the
    box around the foreground is held in memory. Without cases there are no rules.
    """
    held = [_Held.read(case) for case in cases]
    before, kept = _mean_dice(held, labels), []
    for group in _candidates(held, labels):
        tried = [(rule, _mean_dice(_cleaned(held, rule, labels), labels)) for rule in group]
        paying = [(rule, after) for rule, after in tried if _pays(before, after)]
        if not paying:
            continue
        rule, after = max(paying, key=lambda entry: _mean(entry[1]))
        kept.append(KeptRule(rule, _mean(before), _mean(after)))
        held, before = _cleaned(held, rule, labels), after
    return Postprocessing(tuple(kept), len(held))


@dataclass(frozen=True, eq=False)
class _Held:
    """A held-out case within the box around all its foreground: no rule reaches outside it."""

    prediction: np.ndarray
    reference: np.ndarray
    voxel_volume_mm3: float
    not_contoured: tuple[str, ...]

    @classmethod
    def read(cls, case: HeldOutCase) -> _Held:
        from autoseg.io import read_labels

        predicted, reference = read_labels(case.prediction), read_labels(case.reference)
        if predicted.array.shape != reference.array.shape:
            shapes = f"{predicted.array.shape} and {reference.array.shape} (z, y, x)"
            raise FileError(case.prediction, f"lies on another grid than {case.reference}: {shapes}.")
        box = Box.around((predicted.array > 0) | (reference.array > 0)) or Box.whole((1, 1, 1))
        small = np.uint8 if max(predicted.array.max(), reference.array.max()) < 256 else np.int16
        cropped = [volume.array[box.slices].astype(small) for volume in (predicted, reference)]
        return cls(cropped[0], cropped[1], reference.geometry.voxel_volume_mm3, case.not_contoured)


def _candidates(cases: list[_Held], labels: Labels) -> Iterator[list[Rule]]:
    """Groups of rules of which at most one is kept."""
    yield [Rule("largest_component")]
    for name in labels.names:
        yield [Rule("largest_component", name)]
    for name in labels.names:
        smallest = _smallest_component_mm3(cases, name, labels)
        yield [Rule("minimum_volume", name, fraction * smallest) for fraction in VOLUME_FRACTIONS if smallest > 0]
    for name in labels.names:
        yield [Rule("fill_holes", name)]


def _cleaned(cases: Sequence[_Held], rule: Rule, labels: Labels) -> list[_Held]:
    return [
        replace(case, prediction=apply_rules(case.prediction, [rule], labels, case.voxel_volume_mm3)) for case in cases
    ]


def _smallest_component_mm3(cases: list[_Held], name: str, labels: Labels) -> float:
    from scipy import ndimage

    smallest = np.inf
    for case in cases:
        components, count = ndimage.label(labels.mask(case.reference, name), np.ones((3, 3, 3)))
        if count:
            smallest = min(smallest, np.bincount(components.ravel())[1:].min() * case.voxel_volume_mm3)
    return float(smallest) if np.isfinite(smallest) else 0.0


def _mean_dice(cases: Sequence[_Held], labels: Labels) -> dict[str, float]:
    """Per class the mean over cases; a class that no case has is left out."""
    found: dict[str, list[float]] = {name: [] for name in labels.names}
    for case in cases:
        annotated = case.reference != labels.ignore if labels.ignore is not None else True
        for name in set(labels.names) - set(case.not_contoured):
            prediction = labels.mask(case.prediction, name) & annotated
            reference = labels.mask(case.reference, name)
            total = int(prediction.sum()) + int(reference.sum())
            if total:
                found[name].append(2 * int((prediction & reference).sum()) / total)
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def _mean(dice: dict[str, float]) -> float:
    return sum(dice.values()) / max(len(dice), 1)


def _pays(before: dict[str, float], after: dict[str, float]) -> bool:
    no_class_falls = all(after.get(name, 1.0) >= value for name, value in before.items())
    return no_class_falls and _mean(after) > _mean(before) + SMALLEST_GAIN
