"""How each channel is normalised, by its name."""

from __future__ import annotations

from dataclasses import replace

from autoseg.errors import PlanningError
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


def plan_channels(fingerprint: Fingerprint, clip: tuple[float, ...] | None = None) -> tuple[ChannelPlan, ...]:
    """CT keeps its scale over all cases, other modalities are scaled case by case.

    clip: the user's range for CT; PlanningError where no channel is CT.
    """
    masked = fingerprint.median_relative_size < MASKED_BELOW
    schemes = [SCHEMES.get(name.casefold(), "zscore") for name in fingerprint.channels]
    channels = tuple(
        ChannelPlan(name, scheme, statistics, masked and scheme == "zscore")
        for name, scheme, statistics in zip(fingerprint.channels, schemes, fingerprint.intensities, strict=True)
    )
    return channels if clip is None else _clipped(channels, (clip[0], clip[1]))


def _clipped(channels: tuple[ChannelPlan, ...], clip: tuple[float, float]) -> tuple[ChannelPlan, ...]:
    if not any(channel.scheme == "ct" for channel in channels):
        named = ", ".join(channel.name for channel in channels)
        raise PlanningError(
            f"--clip is for channels called CT, and there is none (there are {named}).",
            "Leave --clip out, or name the channel CT in dataset.json.",
        )
    return tuple(
        replace(channel, scheme="clip", clip=clip) if channel.scheme == "ct" else channel for channel in channels
    )
