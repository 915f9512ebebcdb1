"""How intensities are brought to a common scale: one function per scheme, all with one signature.

A scheme looks at a whole channel once and gives a function of single values, so that a volume is normalised slab by
slab while it is resampled, and no normalised copy of it is ever made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.errors import OptionError
from autoseg.plans import ChannelPlan
from autoseg.registry import resolve

NORMALIZATIONS = {
    "ct": "autoseg.preprocessing.normalization:ct",
    "clip": "autoseg.preprocessing.normalization:clip",
    "zscore": "autoseg.preprocessing.normalization:zscore",
    "rescale": "autoseg.preprocessing.normalization:rescale",
    "none": "autoseg.preprocessing.normalization:keep",
}
SMALLEST_SCALE = 1e-8
"""What is divided by at least, so that a constant channel becomes zero instead of NaN."""

Pointwise = Callable[[np.ndarray], np.ndarray]
"""From values of any shape to new float32 values of that shape, each by itself."""


@dataclass(frozen=True, eq=False)
class NormalizedChannel:
    """A channel that is normalised where it is read: indexing gives float32 arrays.

    values: (Z, Y, X), finite. mask: (Z, Y, X) bool, outside of which the result is zero; None for no such mask.
    """

    values: np.ndarray
    function: Pointwise
    mask: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X)."""
        return self.values.shape

    def __getitem__(self, index: Any) -> np.ndarray:
        values = self.function(self.values[index])
        if self.mask is not None:
            values[~self.mask[index]] = 0
        return values


def normalized(channel: np.ndarray, plan: ChannelPlan, mask: np.ndarray | None = None) -> NormalizedChannel:
    """A channel normalised by the plan's scheme.

    channel: (Z, Y, X), finite. mask: (Z, Y, X) bool, the non-zero voxels; needed where plan.masked, and then the
    scheme's statistics are those within it. Raises OptionError for a scheme that does not exist.
    """
    mask = mask if plan.masked else None
    values = channel if mask is None else channel[mask]
    scheme = resolve("normalization", NORMALIZATIONS, plan.scheme)
    return NormalizedChannel(channel, scheme(values, plan), mask)


def ct(values: np.ndarray, plan: ChannelPlan) -> Pointwise:
    """Clip to the dataset's 0.5 and 99.5 percentiles of the foreground, subtract its mean, divide by its deviation."""
    facts = plan.statistics
    low, high = np.float32(facts.percentile_00_5), np.float32(facts.percentile_99_5)
    scaled = _scaled(facts.mean, facts.std)
    return lambda part: scaled(np.clip(part, low, high))


def clip(values: np.ndarray, plan: ChannelPlan) -> Pointwise:
    """Clip to the plan's range and map that to [-1, 1]; OptionError for a plan without a range."""
    if plan.clip is None:
        raise OptionError(f"The channel {plan.name!r} has the scheme clip and no range.", "Plan with --clip LOW,HIGH.")
    low, high = np.float32(plan.clip[0]), np.float32(plan.clip[1])
    scaled = _scaled((plan.clip[0] + plan.clip[1]) / 2, (plan.clip[1] - plan.clip[0]) / 2)
    return lambda part: scaled(np.clip(part, low, high))


def zscore(values: np.ndarray, plan: ChannelPlan) -> Pointwise:
    """Subtract the mean of the case's own values, divide by their deviation."""
    if not values.size:
        return _scaled(0, 1)
    mean = float(values.mean(dtype=np.float64))
    squares = sum(float(np.square(plane - np.float64(mean)).sum()) for plane in np.atleast_2d(values))
    return _scaled(mean, (squares / values.size) ** 0.5)


def rescale(values: np.ndarray, plan: ChannelPlan) -> Pointwise:
    """Map the case's own smallest value to 0 and its largest to 1."""
    if not values.size:
        return _scaled(0, 1)
    return _scaled(float(values.min()), float(values.max()) - float(values.min()))


def keep(values: np.ndarray, plan: ChannelPlan) -> Pointwise:
    """Leave the values as they are."""
    return lambda part: np.array(part, dtype=np.float32)


def _scaled(shift: float, scale: float) -> Pointwise:
    divisor = np.float32(max(scale, SMALLEST_SCALE))

    def apply(part: np.ndarray) -> np.ndarray:
        result = np.subtract(part, np.float32(shift), dtype=np.float32)
        result /= divisor
        return result

    return apply
