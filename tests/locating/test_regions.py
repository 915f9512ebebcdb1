"""Where organs are looked for."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.geometry import Box, Geometry
from autoseg.locating.boxes import OVERSIZE, Located
from autoseg.locating.experience import Experience, Offset, OrganExperience
from autoseg.locating.regions import NOWHERE, OUTSIDE, Search, largest_regions, placed_within, plan_search

GEOMETRY = Geometry((30, 30, 30), (1.0, 1.0, 1.0))
LEAST = {"eye": (8, 8, 8), "stem": (8, 8, 8)}
SIZES = dict.fromkeys(LEAST, (6.0, 6.0, 6.0))
STEM = Box((12, 12, 12), (18, 18, 18))


def organ(offsets: dict[str, Offset] | None = None) -> OrganExperience:
    return OrganExperience((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (6.0, 6.0, 6.0), offsets or {}, 5, 5, 5)


def experience(step_mm: float) -> Experience:
    """The eye lies so far from the stem along x."""
    return Experience({"eye": organ({"stem": Offset((step_mm, 0.0, 0.0), (0.0, 0.0, 0.0))}), "stem": organ()})


def search(located: Located, known: Experience, geometry: Geometry = GEOMETRY) -> Search:
    return plan_search(located, known, geometry, least=LEAST, most=largest_regions(known, SIZES, geometry))


def test_a_located_organ_is_looked_for_around_its_box() -> None:
    region = search(Located({"stem": STEM}, {}), experience(-8)).regions[1]
    assert region.box == Box((11, 11, 11), (20, 20, 20))
    assert not region.expected


def test_a_missed_organ_is_looked_for_at_its_expected_place() -> None:
    region = search(Located({"stem": STEM}, {}), experience(-8)).regions[0]
    assert region.expected
    assert region.box.start[2] < 7 < region.box.stop[2] <= STEM.stop[2]


@pytest.mark.parametrize(("located", "step", "why"), [({}, -8, NOWHERE), ({"stem": STEM}, -80, OUTSIDE)])
def test_what_cannot_be_looked_for_has_a_reason(located: dict[str, Box], step: float, why: str) -> None:
    assert search(Located(located, {}), experience(step)).nowhere["eye"] == why


def test_a_box_too_large_counts_only_where_no_other_organ_tells() -> None:
    large = Box((0, 0, 0), (30, 30, 30))
    told = search(Located({"stem": STEM}, {"eye": large}), experience(-8)).regions[0]
    alone = search(Located({}, {"eye": large}), experience(-8)).regions[0]
    assert told.expected
    assert alone.expected
    assert told.box.start[2] == 0
    assert alone.box.start[2] > 0


def test_of_a_box_too_large_the_middle_is_searched_and_told(caplog: pytest.LogCaptureFixture) -> None:
    alone = search(Located({}, {"eye": Box((0, 0, 3), (30, 30, 30))}), experience(-8))
    assert alone.regions[0].box == Box((6, 6, 8), (23, 23, 25))  # 2 x 6 mm, margins of 3 mm, 2 voxels for rounding
    assert "eye: a region of (30, 30, 27) voxels was found for it; only its middle, (17, 17, 17), is" in caplog.text


@pytest.mark.parametrize("number", range(20))
def test_boxes_that_are_believed_or_expected_are_searched_whole(number: int, caplog: pytest.LogCaptureFixture) -> None:
    chance = np.random.default_rng(number)
    spacing_mm, margins_mm, spread_mm = (tuple(chance.uniform(0.3, 4, 3).tolist()) for _ in range(3))
    geometry = Geometry((90, 90, 90), spacing_mm)
    largest = np.floor(OVERSIZE * np.array(SIZES["stem"]) / spacing_mm).astype(int)
    stem = Box((40, 40, 40), tuple((40 + largest).tolist()))
    eye = OrganExperience(margins_mm, margins_mm, (6.0,) * 3, {"stem": Offset((0.0,) * 3, spread_mm)}, 5, 5, 5)
    known = Experience({"eye": eye, "stem": OrganExperience(margins_mm, margins_mm, (6.0,) * 3, {}, 5, 5, 5)})
    regions = search(Located({"stem": stem}, {}), known, geometry).regions
    assert [region.expected for region in regions] == [True, False]
    assert not caplog.records


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
