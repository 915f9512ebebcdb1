"""How each channel is normalised, by its name."""

from __future__ import annotations

from autoseg.fingerprint import Fingerprint
from autoseg.plans import ChannelPlan

SCHEMES = {
    "ct": "ct",
    "zscore": "zscore",
    "nonorm": "none",
    "rescale_to_0_1": "rescale",
    "rgb_to_0_1": "rescale",
}
"""Channel names that ask for a scheme, in lower case; every other name is treated as MR: zscore."""
MASKED_BELOW = 0.75
"""Where cropping to the non-zero part leaves less than this of the median case, the zeros around are no tissue."""


def plan_channels(fingerprint: Fingerprint) -> tuple[ChannelPlan, ...]:
    """CT keeps its scale over all cases, other modalities are scaled case by case."""
    masked = fingerprint.median_relative_size < MASKED_BELOW
    schemes = [SCHEMES.get(name.casefold(), "zscore") for name in fingerprint.channels]
    return tuple(
        ChannelPlan(name, scheme, statistics, masked and scheme == "zscore")
        for name, scheme, statistics in zip(fingerprint.channels, schemes, fingerprint.intensities, strict=True)
    )
