"""How intensities are brought to a common scale: one function per scheme, all with one signature."""

from __future__ import annotations

import numpy as np

from autoseg.plans import ChannelPlan
from autoseg.registry import resolve

NORMALIZATIONS = {
    "ct": "autoseg.preprocessing.normalization:normalize_ct",
    "zscore": "autoseg.preprocessing.normalization:normalize_zscore",
    "rescale": "autoseg.preprocessing.normalization:normalize_rescale",
    "none": "autoseg.preprocessing.normalization:keep",
}
SMALLEST_SCALE = 1e-8
"""What is divided by at least, so that a constant channel becomes zero instead of NaN."""


def normalize(channel: np.ndarray, plan: ChannelPlan, mask: np.ndarray | None) -> None:
    """Normalise one channel in place by the plan's scheme.

    channel: (Z, Y, X) float32, finite. mask: (Z, Y, X) bool, the non-zero voxels; needed where plan.masked.
    Raises OptionError for a scheme that does not exist.
    """
    resolve("normalization", NORMALIZATIONS, plan.scheme)(channel, plan, mask if plan.masked else None)


def normalize_ct(channel: np.ndarray, plan: ChannelPlan, mask: np.ndarray | None) -> None:
    """Clip to the dataset's 0.5 and 99.5 percentiles of the foreground, subtract its mean, divide by its deviation."""
    facts = plan.statistics
    np.clip(channel, facts.percentile_00_5, facts.percentile_99_5, out=channel)
    _shift_and_scale(channel, facts.mean, facts.std, mask)


def normalize_zscore(channel: np.ndarray, plan: ChannelPlan, mask: np.ndarray | None) -> None:
    """Subtract the case's own mean, divide by its deviation; with a mask by those within it, and zero outside."""
    values = channel if mask is None else channel[mask]
    if values.size:
        _shift_and_scale(channel, float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)), mask)


def normalize_rescale(channel: np.ndarray, plan: ChannelPlan, mask: np.ndarray | None) -> None:
    """Map the case's own smallest value to 0 and its largest to 1."""
    values = channel if mask is None else channel[mask]
    if values.size:
        _shift_and_scale(channel, float(values.min()), float(values.max()) - float(values.min()), mask)


def keep(channel: np.ndarray, plan: ChannelPlan, mask: np.ndarray | None) -> None:
    """Leave the values as they are."""


def _shift_and_scale(channel: np.ndarray, shift: float, scale: float, mask: np.ndarray | None) -> None:
    channel -= np.float32(shift)
    channel /= np.float32(max(scale, SMALLEST_SCALE))
    if mask is not None:
        channel[~mask] = 0
