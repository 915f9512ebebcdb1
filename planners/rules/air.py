"""Which windows prediction leaves out, because they hold nothing but air."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.air import MARGIN_MM, TISSUE_ABOVE_HU, ct_channel
from autoseg.fingerprint import Fingerprint
from autoseg.plans import AirRule


@dataclass(frozen=True)
class Air:
    """rule: None where every window is run. in_air: by class, voxels of the training cases that the rule could lose."""

    rule: AirRule | None
    in_air: dict[str, int]


def choose_air(fingerprint: Fingerprint) -> Air:
    """Windows of a CT without tissue in them or near them, unless a class has training voxels so far from tissue."""
    channel = ct_channel(fingerprint.channels)
    if channel is None:
        return Air(None, {})
    in_air = {name: facts.in_air for name, facts in fingerprint.classes.items() if facts.in_air}
    return Air(None if in_air else AirRule(channel, TISSUE_ABOVE_HU, MARGIN_MM), in_air)
