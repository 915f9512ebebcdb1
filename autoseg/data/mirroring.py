"""What a flip from left to right does to labels: a left organ that was mirrored must be called the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.labels import Labels


@dataclass(frozen=True, eq=False)
class LeftRightExchange:
    """values: what each label value becomes, indexed by value. classes: the class that takes each class's place."""

    values: np.ndarray
    classes: np.ndarray

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Exchange the values of each pair in integer labels of any shape."""
        return self.values[labels]


def left_right_exchange(labels: Labels, pairs: Sequence[tuple[str, str]]) -> LeftRightExchange | None:
    """The exchange for pairs of class names; None where label values cannot express it, so that no flip may happen.

    Each pair's values are exchanged in order. That must be consistent over all pairs, and must turn every class (also
    an unpaired region that shares values with a pair) into exactly one class.
    """
    becomes = {value: value for value in range(max(labels.values + labels.region_values) + 1)}
    for left, right in pairs:
        if len(labels.classes[left]) != len(labels.classes[right]):
            return None
        for one, other in zip(labels.classes[left], labels.classes[right], strict=True):
            becomes[one], becomes[other] = other, one
    names, partner = list(labels.names), {name: name for name in labels.names}
    partner.update({a: b for left, right in pairs for a, b in ((left, right), (right, left))})
    for name in names:
        if {becomes[value] for value in labels.classes[name]} != set(labels.classes[partner[name]]):
            return None
    values = np.array([becomes[value] for value in range(len(becomes))], dtype=np.int16)
    return LeftRightExchange(values, np.array([names.index(partner[name]) for name in names]))
