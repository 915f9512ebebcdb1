"""Along which axes patches may be flipped, and where a flip exchanges left and right labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoseg.data.mirroring import left_right_exchange
from autoseg.fingerprint import Fingerprint, Pairs
from autoseg.labels import Labels
from autoseg.plans import Ints


@dataclass(frozen=True)
class Mirroring:
    """axes, left_right_axis: in plan order; see Plans. left_out: axes that must not be flipped; why: the reason."""

    axes: Ints
    left_right_axis: int | None = None
    pairs: Pairs = ()
    left_out: Ints = ()
    why: str = ""


NO_TIME = "a short training learns more from patients as they lie"


def choose_mirroring(fingerprint: Fingerprint, labels: Labels, transpose: Ints, *, wanted: bool = True) -> Mirroring:
    """All axes, or none where flips are not wanted; never so that a left class is taught as the right one.

    Confirmed pairs exchange their labels on a flip of the left-right axis. That axis is left out where a pair is one by
    name only, where cases are oriented differently, so that it is another axis in some of them, and where regions
    overlap in a way that no exchange of label values can mirror.
    """
    everything = (0, 1, 2)
    mirroring = _safe_mirroring(fingerprint, labels, transpose, everything)
    if wanted:
        return mirroring
    return replace(mirroring, axes=(), left_out=everything, why=mirroring.why or NO_TIME)


def _safe_mirroring(fingerprint: Fingerprint, labels: Labels, transpose: Ints, everything: Ints) -> Mirroring:
    if not fingerprint.pairs and not fingerprint.unconfirmed_pairs:
        return Mirroring(everything)
    sideways = tuple(transpose.index(axis) for axis in fingerprint.left_right_axes)
    why = ""
    if fingerprint.unconfirmed_pairs:
        left, right = fingerprint.unconfirmed_pairs[0]
        why = f"{left} and {right} are a pair by name but do not lie like mirror images"
    elif len(sideways) > 1:
        why = "left to right is another axis in some cases"
    elif left_right_exchange(labels, fingerprint.pairs) is None:
        why = "no exchange of label values turns each left class into its right one"
    left_out = sideways if why else ()
    axes = tuple(axis for axis in everything if axis not in left_out)
    return Mirroring(axes, sideways[0], fingerprint.pairs, left_out, why)
