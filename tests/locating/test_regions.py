"""Where organs are looked for."""

from __future__ import annotations

import pytest

from autoseg.geometry import Box, Geometry
from autoseg.locating.boxes import Located
from autoseg.locating.experience import Experience, Offset, OrganExperience
from autoseg.locating.regions import NOWHERE, OUTSIDE, placed_within, plan_search

GEOMETRY = Geometry((30, 30, 30), (1.0, 1.0, 1.0))
LEAST = {"eye": (8, 8, 8), "stem": (8, 8, 8)}
STEM = Box((12, 12, 12), (18, 18, 18))


def organ(offsets: dict[str, Offset] | None = None) -> OrganExperience:
    return OrganExperience((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (6.0, 6.0, 6.0), offsets or {}, 5, 5, 5)


def experience(step_mm: float) -> Experience:
    """The eye lies so far from the stem along x."""
    return Experience({"eye": organ({"stem": Offset((step_mm, 0.0, 0.0), (0.0, 0.0, 0.0))}), "stem": organ()})


def test_a_located_organ_is_looked_for_around_its_box() -> None:
    search = plan_search(Located({"stem": STEM}, {}), experience(-8), GEOMETRY, LEAST)
    assert search.regions[1].box == Box((11, 11, 11), (20, 20, 20))
    assert not search.regions[1].expected


def test_a_missed_organ_is_looked_for_at_its_expected_place() -> None:
    region = plan_search(Located({"stem": STEM}, {}), experience(-8), GEOMETRY, LEAST).regions[0]
    assert region.expected
    assert region.box.start[2] < 7 < region.box.stop[2] <= STEM.stop[2]


@pytest.mark.parametrize(("located", "step", "why"), [({}, -8, NOWHERE), ({"stem": STEM}, -80, OUTSIDE)])
def test_what_cannot_be_looked_for_has_a_reason(located: dict[str, Box], step: float, why: str) -> None:
    assert plan_search(Located(located, {}), experience(step), GEOMETRY, LEAST).nowhere["eye"] == why


def test_a_box_too_large_counts_only_where_no_other_organ_tells() -> None:
    large = Box((0, 0, 0), (30, 30, 30))
    told = plan_search(Located({"stem": STEM}, {"eye": large}), experience(-8), GEOMETRY, LEAST)
    alone = plan_search(Located({}, {"eye": large}), experience(-8), GEOMETRY, LEAST)
    assert max(told.regions[0].box.shape) < 30
    assert alone.regions[0].box == large


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box((10, 10, 10), (12, 12, 12)), Box((7, 7, 7), (15, 15, 15))),
        (Box((0, 0, 0), (2, 2, 2)), Box((0, 0, 0), (8, 8, 8))),
        (Box((29, 29, 29), (30, 30, 30)), Box((22, 22, 22), (30, 30, 30))),
        (Box((3, 3, 3), (23, 23, 23)), Box((3, 3, 3), (23, 23, 23))),
    ],
)
def test_regions_are_widened_to_the_patch_and_stay_inside(box: Box, expected: Box) -> None:
    assert placed_within(box, (8, 8, 8), (30, 30, 30)) == expected


def test_a_volume_smaller_than_the_patch_is_taken_whole() -> None:
    assert placed_within(Box((1, 1, 1), (2, 2, 2)), (8, 8, 8), (5, 30, 4)) == Box((0, 0, 0), (5, 8, 4))
