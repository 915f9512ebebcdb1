"""A held-out case while rules are chosen: its counts per class, and what each rule would change of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import FileError
from autoseg.geometry import Box
from autoseg.labels import Labels
from autoseg.postprocessing.rules import Components, Rule, Target


@dataclass(frozen=True)
class HeldOutCase:
    """A case predicted by a network that was not trained on it: files of predicted and of true labels, on one grid.

    not_contoured: classes that the reference leaves open.
    """

    prediction: Path
    reference: Path
    not_contoured: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Effect:
    """What a rule changes: voxels, as flat indices (n,), their new values (n,), and what that adds to the counts.

    gain: (classes, 3), see ScoredCase.counts.
    """

    where: np.ndarray
    values: np.ndarray
    gain: np.ndarray


class ScoredCase:
    """A held-out case within the box around all its foreground: no rule reaches outside it.

    prediction, reference: (Z, Y, X) label values. counts: (classes, 3) voxels that are in both, in the prediction and
    in the reference, where the reference is annotated. smallest_mm3: (classes,) of the reference's components; infinite
    where a class is absent. is_contoured: (classes,).
    """

    def __init__(
        self,
        prediction: np.ndarray,
        reference: np.ndarray,
        labels: Labels,
        voxel_volume_mm3: float,
        not_contoured: Sequence[str] = (),
    ) -> None:
        self.prediction, self.reference, self.labels = prediction, reference, labels
        self.voxel_volume_mm3 = voxel_volume_mm3
        self.is_contoured = np.array([name not in not_contoured for name in labels.names])
        values = 1 + max(int(prediction.max()), int(reference.max()), *labels.values)
        self._members = np.array([labels.mask(np.arange(values), name) for name in labels.names]).T
        self.counts = self._counted(prediction.ravel(), reference.ravel())
        self.smallest_mm3 = np.array([self._smallest(name) for name in labels.names])
        self._found: dict[str | None, tuple[Box | None, dict[Rule, Effect]]] = {}

    def dice(self, effect: Effect | None = None) -> np.ndarray:
        """(classes,) with the effect added; NaN for a class that is in neither map, or was not contoured."""
        both, predicted, true = (self.counts if effect is None else self.counts + effect.gain).T
        total = predicted + true
        known = self.is_contoured & (total > 0)
        return np.where(known, 2 * both / np.maximum(total, 1), np.nan)

    def effects(self, name: str | None, rules: Sequence[Rule]) -> dict[Rule, Effect]:
        """What each rule for a class, or for all foreground, would change now; always ask for the same rules of one."""
        if name not in self._found:
            target = Target.of(self.prediction, name, self.labels)
            box = None if target is None else target.box
            components = None if target is None else Components.of(target.mask)
            self._found[name] = box, {rule: self._effect(target, rule, components) for rule in rules}
        return self._found[name][1]

    def take(self, effect: Effect) -> None:
        """Change the prediction, and forget the effects that have become others by it."""
        if not effect.where.size:
            return
        flat = self.prediction.reshape(-1)
        changed = self._members[flat[effect.where]] != self._members[effect.values]
        names = {name for name, column in zip(self.labels.names, changed.T, strict=True) if column.any()}
        places = np.unravel_index(effect.where, self.prediction.shape)
        flat[effect.where] = effect.values
        self.counts = self.counts + effect.gain
        self._found = {
            name: (box, effects)
            for name, (box, effects) in self._found.items()
            if name is not None and name not in names and not _reaches(box, places)
        }

    def _effect(self, target: Target | None, rule: Rule, components: Components | None) -> Effect:
        if target is None:
            return Effect(np.empty(0, np.int64), np.empty(0, self.prediction.dtype), np.zeros_like(self.counts))
        after = target.after(rule, self.labels, self.voxel_volume_mm3, components)
        changed = np.nonzero(after != target.part)
        places = tuple(part + one.start for part, one in zip(changed, target.box.slices, strict=True))
        where = np.ravel_multi_index(places, self.prediction.shape)
        values, true = after[changed], self.reference.reshape(-1)[where]
        before = self.prediction.reshape(-1)[where]
        return Effect(where, values, self._counted(values, true) - self._counted(before, true))

    def _counted(self, prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """(classes, 3) counts of voxels (n,), by how often each pair of values occurs."""
        edge = len(self._members)
        pairs = np.bincount(prediction * np.int64(edge) + reference, minlength=edge**2).reshape(edge, edge)
        if self.labels.ignore is not None:
            pairs[:, self.labels.ignore] = 0
        members = self._members.astype(np.int64)
        both = np.einsum("pc,pr,rc->c", members, pairs, members, optimize=True)
        return np.stack([both, pairs.sum(1) @ members, pairs.sum(0) @ members], axis=1)

    def _smallest(self, name: str) -> float:
        target = Target.of(self.reference, name, self.labels)
        return np.inf if target is None else Components.of(target.mask).sizes[1:].min() * self.voxel_volume_mm3


def read_case(case: HeldOutCase, labels: Labels) -> ScoredCase:
    """Read the two maps of a case; FileError where they lie on different grids."""
    from autoseg.io import read_labels

    predicted, reference = read_labels(case.prediction), read_labels(case.reference)
    if predicted.array.shape != reference.array.shape:
        shapes = f"{predicted.array.shape} and {reference.array.shape} (z, y, x)"
        raise FileError(case.prediction, f"lies on another grid than {case.reference}: {shapes}.")
    box = Box.around((predicted.array > 0) | (reference.array > 0)) or Box.whole((1, 1, 1))
    small = np.uint8 if max(predicted.array.max(), reference.array.max()) < 256 else np.int16
    cropped = [np.ascontiguousarray(volume.array[box.slices], dtype=small) for volume in (predicted, reference)]
    return ScoredCase(cropped[0], cropped[1], labels, reference.geometry.voxel_volume_mm3, case.not_contoured)


def _reaches(box: Box | None, places: tuple[np.ndarray, ...]) -> bool:
    """Whether one of the voxels lies in the box."""
    if box is None:
        return False
    inside = np.ones(len(places[0]), dtype=bool)
    for part, axis in zip(box.slices, places, strict=True):
        inside &= (axis >= part.start) & (axis < part.stop)
    return bool(inside.any())
