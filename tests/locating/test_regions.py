"""Where organs are looked for."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.geometry import Box, Geometry
from autoseg.locating.boxes import OVERSIZE, Located
from autoseg.locating.experience import Experience, Offset, OrganExperience
from autoseg.locating.regions import (
    DOUBTED,
    MISSED,
    NOWHERE,
    OUTSIDE,
    TOO_LARGE,
    Search,
    far_from_expected,
    largest_regions,
    placed_within,
    plan_search,
)

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
    assert not region.missed


def test_a_missed_organ_is_looked_for_at_its_expected_place() -> None:
    region = search(Located({"stem": STEM}, {}), experience(-8)).regions[0]
    assert region.missed == MISSED
    assert region.box.start[2] < 7 < region.box.stop[2] <= STEM.stop[2]


@pytest.mark.parametrize(
    ("located", "step", "why"), [({}, -8, NOWHERE), ({"stem": STEM}, -80, f"{MISSED}, and {OUTSIDE}")]
)
def test_what_cannot_be_looked_for_has_a_reason(located: dict[str, Box], step: float, why: str) -> None:
    assert search(Located(located, {}), experience(step)).nowhere["eye"] == why


PLACES = {"left": (15, 15, 5), "right": (15, 15, 25), "stem": (15, 15, 15), "cord": (6, 15, 15), "chin": (15, 6, 15)}


def box_at(place: tuple[int, ...], moved: int = 0) -> Box:
    z, y, x = place
    return Box((z - 3, y - 3, x - 3 + moved), (z + 3, y + 3, x + 3 + moved))


def of_five(spread_mm: float = 1.0, cases: int = 5) -> Experience:
    """Five organs that lie at PLACES."""
    organs = {}
    for name, place in PLACES.items():
        steps = {other: np.subtract(place, PLACES[other])[::-1].astype(float) for other in PLACES if other != name}
        organs[name] = organ({one: Offset(tuple(step), (spread_mm,) * 3, cases) for one, step in steps.items()})
    return Experience(organs)


@pytest.mark.parametrize(
    ("moved", "doubted"),
    [({"left": 20}, {"left"}), ({"left": 20, "right": -20}, {"left", "right"}), ({"left": 3}, set()), ({}, set())],
)
def test_a_box_far_from_where_the_others_tell_is_not_believed(moved: dict[str, int], doubted: set[str]) -> None:
    boxes = {name: box_at(place, moved.get(name, 0)) for name, place in PLACES.items()}
    assert far_from_expected(boxes, of_five(), GEOMETRY) == doubted
    assert far_from_expected(boxes, of_five(spread_mm=20), GEOMETRY) == set()
    assert far_from_expected(boxes, of_five(cases=2), GEOMETRY) == set()


def test_who_lies_otherwise_than_all_others_is_not_doubted() -> None:
    boxes = {
        name: box_at(place, moved) for (name, place), moved in zip(PLACES.items(), (20, -20, -12, 0, 0), strict=True)
    }
    assert far_from_expected(boxes, of_five(), GEOMETRY) == set()
    two = {name: boxes[name] for name in ("left", "stem")}
    assert far_from_expected(two, of_five(), GEOMETRY) == set()


def test_an_organ_on_the_wrong_side_is_looked_for_on_its_own() -> None:
    boxes = {name: box_at(place, 20 if name == "left" else 0) for name, place in PLACES.items()}
    known, least = of_five(), dict.fromkeys(PLACES, (8, 8, 8))
    most = largest_regions(known, dict.fromkeys(PLACES, (6.0, 6.0, 6.0)), GEOMETRY)
    found = plan_search(Located(boxes, {}), known, GEOMETRY, least=least, most=most).regions
    assert [region.missed for region in found] == [DOUBTED, "", "", "", ""]
    assert found[0].box.start[2] <= 2
    assert 8 <= found[0].box.stop[2] < 15


def test_a_box_too_large_counts_only_where_no_other_organ_tells() -> None:
    large = Box((0, 0, 0), (30, 30, 30))
    told = search(Located({"stem": STEM}, {"eye": large}), experience(-8)).regions[0]
    alone = search(Located({}, {"eye": large}), experience(-8)).regions[0]
    assert [told.missed, alone.missed] == [TOO_LARGE] * 2
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
    assert [region.missed for region in regions] == [MISSED, ""]
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
