"""Mirroring and test-time flips: what a GPU has time for and a CPU has not."""

from __future__ import annotations

import pytest

from autoseg.errors import OptionError
from autoseg.fingerprint import Fingerprint
from autoseg.plans import Plans, Target
from planners.default import DefaultPlanner
from planners.options import GIBIBYTE, Overrides, PlanningOptions

SMALL = Fingerprint.from_summary([[1.0] * 3] * 20, [[36, 50, 35]] * 20, labels=3, channels=1)
LARGE = Fingerprint.from_summary([[1.0] * 3] * 20, [[300, 400, 400]] * 20, labels=3, channels=1)


def plan(fingerprint: Fingerprint, device: str, mirror: str = "auto") -> Plans:
    options = PlanningOptions(target=Target(device, 8 * GIBIBYTE, 600.0), overrides=Overrides(mirror=mirror))
    return DefaultPlanner().plan(fingerprint, options=options)


def test_a_gpu_mirrors_and_a_cpu_does_not() -> None:
    assert plan(SMALL, "cuda").mirror_axes == (0, 1, 2)
    assert plan(SMALL, "cpu").mirror_axes == ()


def test_the_user_decides() -> None:
    assert plan(SMALL, "cuda", "none").mirror_axes == ()
    assert plan(SMALL, "cpu", "all").mirror_axes == (0, 1, 2)
    with pytest.raises(OptionError, match="--mirror must be one of auto, all, none"):
        Overrides(mirror="left")


def test_flips_in_prediction_where_they_are_affordable() -> None:
    assert plan(SMALL, "cpu", "all").stages["3d_fullres"].flips == "all"
    assert plan(LARGE, "cpu", "all").stages["3d_fullres"].flips == "none"
    assert plan(LARGE, "cuda").stages["3d_fullres"].flips == "all"


def test_both_decisions_are_explained() -> None:
    decisions = {decision.what: decision for decision in plan(SMALL, "cpu").decisions}
    assert "as they lie" in decisions["mirror_axes"].rule
    assert "--mirror all" in decisions["mirror_axes"].rejected
    assert decisions["3d_fullres.flips"].numbers["windows_per_case"] > 0


def test_a_patch_on_a_cpu_lies_within_the_median_case() -> None:
    patch = plan(SMALL, "cpu").stages["3d_fullres"].patch_size
    assert all(edge <= size for edge, size in zip(patch, (36, 50, 35), strict=True))
    assert plan(SMALL, "cuda").stages["3d_fullres"].patch_size == (40, 56, 40)
