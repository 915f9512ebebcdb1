"""What the voxel values of label files mean: classes, regions and the ignore label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import FormatError


@dataclass(frozen=True)
class Labels:
    """What the voxel values of a label file mean.

    classes: name to the values that make it up, in the order of the network's outputs; the background and the ignore
    label are not among them. ignore: the value of voxels that nobody annotated, or None. region_values: the values that
    regions are painted with, in order, where any class is a region; else empty.
    """

    classes: dict[str, tuple[int, ...]]
    ignore: int | None = None
    region_values: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, without the background."""
        return tuple(self.classes)

    @property
    def has_regions(self) -> bool:
        """Whether classes may overlap: then outputs are one sigmoid per class, else one softmax with background."""
        return bool(self.region_values)

    @property
    def output_count(self) -> int:
        """Channels that a network needs: one per class, and one for the background where labels are exclusive."""
        return len(self.classes) + (0 if self.has_regions else 1)

    @property
    def values(self) -> tuple[int, ...]:
        """Every value that a label file may hold, sorted: background, classes and ignore."""
        found = {0} | {value for values in self.classes.values() for value in values}
        return tuple(sorted(found | ({self.ignore} if self.ignore is not None else set())))

    def mask(self, labels: np.ndarray, name: str) -> np.ndarray:
        """Where a class is; labels: integers of any shape; the result is boolean of that shape."""
        values = self.classes[name]
        return labels == values[0] if len(values) == 1 else np.isin(labels, values)

    def painted(self, regions: Sequence[np.ndarray]) -> np.ndarray:
        """Label values where regions overlap. regions: a mask per region, of one shape. Returns int16 of that shape."""
        painted = np.zeros(regions[0].shape, dtype=np.int16)
        for mask, value in zip(regions, self.region_values, strict=True):
            painted[mask] = value
        return painted

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Turn network outputs into labels. outputs: (K, ...) logits. Returns (...) int16 label values.

        Exclusive labels take the largest logit (the lower class on a tie); regions with a positive logit are painted
        in the order of region_values, later ones over earlier ones.
        """
        if self.has_regions:
            return self.painted([logits > 0 for logits in outputs])
        painted = np.zeros(outputs.shape[1:], dtype=np.int16)
        best = outputs[0].copy()
        for logits, values in zip(outputs[1:], self.classes.values(), strict=True):
            better = logits > best
            best[better] = logits[better]
            painted[better] = values[0]
        return painted


def organ_labels(labels: Labels) -> Labels:
    """What the labels of an organ's region mean: 1 is the organ; 2 was not annotated, where the dataset has that."""
    return Labels({"organ": (1,)}, None if labels.ignore is None else 2)


def read_labels_entry(values: dict[str, Any], path: Path) -> Labels:
    """The `labels` of a dataset.json, with regions, region order and ignore label; older {"0": "background"} too."""
    entry = values.get("labels")
    if not isinstance(entry, dict) or not entry:
        raise FormatError(path, "missing key 'labels'.", 'Add for example "labels": {"background": 0, "liver": 1}.')
    classes = {name: _label_values(name, value, path) for name, value in _by_name(entry, path).items()}
    if classes.pop("background", None) != (0,):
        raise FormatError(path, "labels must hold 'background' with the value 0.")
    ignore = classes.pop("ignore", None)
    if not classes:
        raise FormatError(path, "labels must hold at least one class besides the background.")
    order = _region_values(values, classes, path)
    if not order:
        _check_exclusive(classes, path)
    _check_consecutive(sorted({v for vs in classes.values() for v in vs}), ignore, path)
    return Labels(classes, ignore[0] if ignore else None, order)


def _by_name(entry: dict[str, Any], path: Path) -> dict[str, Any]:
    """Names to values; the older form, values to names, is turned round."""
    if not all(key.isdecimal() and isinstance(name, str) for key, name in entry.items()):
        return entry
    turned = {name: int(key) for key, name in entry.items()}
    if len(turned) < len(entry):
        raise FormatError(path, "labels gives two values one name.", "Give every value a name of its own.")
    return turned


def _label_values(name: str, value: Any, path: Path) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(_is_count(v) for v in values):
        raise FormatError(path, f"the label {name!r} must be a whole number or a list of them, not {value!r}.")
    if len(set(values)) < len(values):
        raise FormatError(path, f"the label {name!r} names a value twice: {value!r}.")
    return tuple(values)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _region_values(values: dict[str, Any], classes: dict[str, tuple[int, ...]], path: Path) -> tuple[int, ...]:
    """The painting order of regions; empty where no class is made of several values (the peer's rule)."""
    if not any(len(v) > 1 for v in classes.values()):
        return ()
    order = values.get("regions_class_order")
    names = ", ".join(classes)
    if not isinstance(order, list) or len(order) != len(classes) or not all(_is_count(v) for v in order):
        raise FormatError(
            path,
            f"regions_class_order must list {len(classes)} values, one for each of {names}; it is {order!r}.",
            "A region is painted over the ones before it: large regions come first.",
        )
    for value, (name, parts) in zip(order, classes.items(), strict=True):
        if value not in parts:
            raise FormatError(
                path,
                f"regions_class_order paints {name!r} with {value}, which is not one of its values {list(parts)}.",
                f"Give for {names}, in this order, a value that the region holds.",
            )
    return tuple(order)


def _check_exclusive(classes: dict[str, tuple[int, ...]], path: Path) -> None:
    owners: dict[int, str] = {}
    for name, (value,) in classes.items():
        if value in owners:
            raise FormatError(
                path,
                f"the labels {owners[value]!r} and {name!r} share the value {value}.",
                "Give each class a value of its own, or make them regions with regions_class_order.",
            )
        owners[value] = name


def _check_consecutive(plain: list[int], ignore: tuple[int, ...] | None, path: Path) -> None:
    if plain != list(range(1, len(plain) + 1)):
        raise FormatError(
            path,
            f"label values must be consecutive from 1, not {plain}.",
            "Renumber them, or convert the dataset with autoseg_convert, which does.",
        )
    if ignore is not None and ignore != (plain[-1] + 1,):
        raise FormatError(path, f"the ignore label must be the highest value, {plain[-1] + 1}, not {list(ignore)}.")
