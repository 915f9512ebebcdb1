"""Fingerprints of organs of known sizes, and plans for them."""

from __future__ import annotations

import math
from dataclasses import replace

from autoseg.fingerprint import ClassFacts, Fingerprint, Quantiles
from autoseg.plans import Plans, Target
from planners.default import DefaultPlanner
from planners.options import GIBIBYTE, Overrides, PlanningOptions

SIZES = {
    "eye_left": (24.0, 25.0, 26.0),
    "eye_right": (24.0, 25.0, 28.0),
    "optic/nerve": (8.0, 30.0, 15.0),
    "mandible": (90.0, 100.0, 120.0),
}


def always(value: float) -> Quantiles:
    return Quantiles(value, value, value, value, value)


def facts(size_mm: tuple[float, ...]) -> ClassFacts:
    """Of an ellipsoid with these edges (z, y, x)."""
    z, y, x = map(always, size_mm)
    return ClassFacts(20, 20, 1.0, 1.0, always(math.pi / 6 * math.prod(size_mm)), always(1), (z, y, x))


def fingerprint(sizes: dict[str, tuple[float, ...]] = SIZES, edge: int = 160) -> Fingerprint:
    summary = Fingerprint.from_summary([[3.0, 1.2, 1.2]] * 20, [[90, edge, edge]] * 20, labels=len(sizes) + 1)
    pairs = (("eye_left", "eye_right"),) if "eye_right" in sizes else ()
    return replace(summary, classes={name: facts(size) for name, size in sizes.items()}, pairs=pairs)


def plan(made_from: Fingerprint | None = None, device: str = "cpu", budget: float = 1800, **overrides: object) -> Plans:
    target = Target(device, 8 * GIBIBYTE, budget)
    options = PlanningOptions(target=target, overrides=Overrides(**overrides), seconds_per_multiply_add=1e-11)  # type: ignore[arg-type]
    return DefaultPlanner().plan(made_from or fingerprint(), None, options)
