"""Margins, offsets and expected places, on cases whose answers are known by construction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.files import read_json, write_json
from autoseg.geometry import Box, Geometry
from autoseg.locating.boxes import CaseBoxes
from autoseg.locating.experience import FEWEST_CASES, Experience, joined, learn, read_experience, write_experience

GEOMETRY = Geometry((40, 60, 80), (3.0, 2.0, 1.0), (5.0, -7.0, 11.0))
VOXEL = (6.0, 4.0, 4.0)
GUESS = dict.fromkeys(("eye", "stem"), (10.0, 10.0, 10.0))


def box_at(z: int, y: int, x: int, edge: int = 6) -> Box:
    return Box((z, y, x), (z + edge, y + edge, x + edge))


def case(eye: Box, stem: Box, *, found: Box | None = None) -> CaseBoxes:
    """found: where the locator thinks the eye is."""
    return CaseBoxes(GEOMETRY, {"eye": eye, "stem": stem}, {} if found is None else {"eye": found})


def learned(cases: list[CaseBoxes]) -> Experience:
    return learn(cases, ("eye", "stem"), voxel_mm=VOXEL, first_guess_mm=GUESS)


def test_margins_are_the_locators_largest_errors_in_mm_and_a_voxel() -> None:
    eye = box_at(10, 20, 30)
    off = [Box((12, 20, 30), (16, 26, 33)), Box((9, 19, 29), (17, 25, 37))]
    known = learned([case(eye, box_at(20, 20, 60), found=box) for box in off]).organs["eye"]
    assert known.margin_low_mm == pytest.approx((2 * 3 + 6, 4, 4))
    assert known.margin_high_mm == pytest.approx((6, 1 * 2 + 4, 3 * 1 + 4))


def test_the_grown_box_holds_the_truth() -> None:
    eye, off = box_at(10, 20, 30), Box((12, 21, 30), (15, 26, 33))
    grown = learned([case(eye, box_at(20, 20, 60), found=off)]).with_margins("eye", off, GEOMETRY)
    assert all(a <= b for a, b in zip(grown.start, eye.start, strict=True))
    assert all(a >= b for a, b in zip(grown.stop, eye.stop, strict=True))


def test_a_box_elsewhere_is_a_miss_and_not_a_margin() -> None:
    known = learned([case(box_at(10, 20, 30), box_at(20, 20, 60), found=box_at(30, 50, 70))]).organs["eye"]
    assert (known.cases, known.found, known.held) == (1, 0, 0)
    assert known.margin_low_mm == GUESS["eye"]


def test_found_and_wholly_held_are_counted() -> None:
    eye = box_at(10, 20, 30)
    cases = [case(eye, box_at(20, 20, 60), found=eye) for _ in range(30)]
    cases[0] = case(eye, box_at(20, 20, 60), found=Box((15, 20, 30), (16, 26, 36)))
    known = learned(cases).organs["eye"]
    assert (known.cases, known.found, known.held) == (30, 30, 29)


def test_a_missed_organ_is_expected_where_the_others_tell() -> None:
    cases = [case(box_at(10 + n, 20, 30 + n), box_at(20 + n, 25, 60 + n)) for n in range(3)]
    expected = learned(cases).expected_box("eye", {"stem": box_at(22, 30, 55)}, GEOMETRY)
    assert expected is not None
    middle = (np.add(expected.start, expected.stop) - 1) / 2
    np.testing.assert_allclose(middle, np.array([12, 25, 25]) + 2.5, atol=0.5)
    assert all(edge > 6 for edge in expected.shape)


def test_the_expected_place_does_not_depend_on_the_orientation_of_the_volume() -> None:
    experience = learned([case(box_at(10, 20, 30), box_at(20, 25, 60))])
    back = tuple(float(-v) for v in GEOMETRY.direction[2])
    origin = GEOMETRY.voxel_to_world(np.array([0, 0, 79]))
    flipped = Geometry(GEOMETRY.shape, GEOMETRY.spacing_mm, tuple(origin), (*GEOMETRY.direction[:2], back))
    plain = experience.expected_box("eye", {"stem": box_at(20, 25, 60)}, GEOMETRY)
    mirrored = experience.expected_box("eye", {"stem": Box((20, 25, 80 - 66), (26, 31, 80 - 60))}, flipped)
    assert plain is not None
    assert mirrored == Box((*plain.start[:2], 80 - plain.stop[2]), (*plain.stop[:2], 80 - plain.start[2]))


def test_a_steady_neighbour_weighs_more_than_an_unsteady_one() -> None:
    boxes = [(box_at(10, 20, 30), box_at(20, 20, 60), box_at(20, 20, 5 + 20 * (n % 2))) for n in range(4)]
    cases = [CaseBoxes(GEOMETRY, {"eye": a, "stem": b, "loose": c}, {}) for a, b, c in boxes]
    experience = learn(cases, ("eye",), voxel_mm=VOXEL, first_guess_mm=GUESS)
    found = {"stem": box_at(20, 20, 60), "loose": box_at(20, 20, 60)}
    expected = experience.expected_box("eye", found, GEOMETRY)
    assert expected is not None
    assert abs((expected.start[2] + expected.stop[2]) / 2 - 33) < 3


def test_one_case_does_not_outvote_many() -> None:
    usual, stem = box_at(10, 20, 30), box_at(20, 20, 60)
    many = [CaseBoxes(GEOMETRY, {"eye": box_at(10, 20, 24 + 12 * (n % 2)), "stem": stem}, {}) for n in range(39)]
    odd = CaseBoxes(GEOMETRY, {"eye": usual, "rare": box_at(20, 20, 5)}, {})
    experience = learn([*many, odd], ("eye",), voxel_mm=VOXEL, first_guess_mm=GUESS)
    assert experience.organs["eye"].offsets["stem"].spread_mm[0] == pytest.approx(6, rel=0.05)
    expected = experience.expected_box("eye", {"stem": stem, "rare": box_at(20, 20, 35)}, GEOMETRY)
    assert expected is not None
    assert all(a <= b for a, b in zip(expected.start, usual.start, strict=True))
    assert all(a >= b for a, b in zip(expected.stop, usual.stop, strict=True))
    alone = experience.expected_box("eye", {"rare": box_at(20, 20, 35)}, GEOMETRY)
    assert alone is not None
    assert alone.start[2] <= 60 < 66 <= alone.stop[2]


def test_a_spread_over_few_cases_is_that_to_expect_of_a_further_one() -> None:
    cases = [case(box_at(10, 20, 30 + shift), box_at(20, 20, 60)) for shift in (-3, 0, 3)]
    offset = learned(cases).organs["eye"].offsets["stem"]
    assert offset.cases == 3
    assert offset.spread_mm == pytest.approx((6**0.5 * 2**0.5, 0, 0))


def test_offsets_of_files_that_do_not_count_their_cases_are_trusted(tmp_path: Path) -> None:
    experience = learned([case(box_at(10, 20, 30), box_at(20, 20, 60))] * FEWEST_CASES)
    write_experience(tmp_path / "organs.json", experience)
    values = read_json(tmp_path / "organs.json")
    del values["organs"]["eye"]["offsets"]["stem"]["cases"]
    write_json(tmp_path / "organs.json", values)
    assert read_experience(tmp_path / "organs.json") == experience


def test_nobody_tells_where_nothing_was_found() -> None:
    assert learned([case(box_at(10, 20, 30), box_at(20, 20, 60))]).expected_box("eye", {}, GEOMETRY) is None


def test_folds_join_to_the_larger_margins_and_the_mean_offset() -> None:
    eye, stem = box_at(10, 20, 30), box_at(20, 20, 60)
    near = learned([case(eye, stem, found=eye)])
    far = learned([case(eye, box_at(20, 20, 64), found=Box((13, 20, 30), (16, 26, 36)))])
    both = joined([near, far]).organs["eye"]
    assert both.margin_low_mm[0] == 15
    assert both.offsets["stem"].mean_mm[0] == pytest.approx(-32)
    assert both.offsets["stem"].cases == 1
    assert both.cases == 2


def test_experience_survives_json(tmp_path: Path) -> None:
    experience = learned([case(box_at(10, 20, 30), box_at(20, 20, 60))])
    write_experience(tmp_path / "organs.json", experience)
    assert read_experience(tmp_path / "organs.json") == experience
