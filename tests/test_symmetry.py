from __future__ import annotations

import pytest

from autoseg.symmetry import Placement, is_mirrored, name_pairs


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("LeftParotid", "RightParotid"),
        ("parotid_left", "parotid_right"),
        ("Parotid_L", "Parotid_R"),
        ("l-lung", "r-lung"),
        ("Lt Kidney", "Rt Kidney"),
        ("GLND (L)", "GLND (R)"),
        ("femur_LEFT_head", "femur_RIGHT_head"),
    ],
)
def test_pairs_are_found_by_name(left: str, right: str) -> None:
    assert name_pairs(["Brain", right, left]) == ((left, right),)


@pytest.mark.parametrize(
    "names",
    [["left_lung"], ["liver", "river"], ["cleft", "bright"], ["Larynx", "Mandible"], ["lung_l", "kidney_r"], []],
)
def test_what_only_looks_like_a_pair_is_none(names: list[str]) -> None:
    assert name_pairs(names) == ()


def placement(step: tuple[float, float, float], *, volumes: tuple[float, float] = (1000, 1100)) -> Placement:
    return Placement((0, 0, 0), step, *volumes)


def test_organs_side_by_side_are_mirrored() -> None:
    assert is_mirrored([placement((100, 5, -10))] * 3)


def test_a_wrong_orientation_does_not_matter_if_it_is_steady() -> None:
    assert is_mirrored([placement((-100, 5, -10))] * 3)
    assert not is_mirrored([placement((-100, 5, -10)), placement((100, 5, -10))])


def test_organs_that_lie_askew_are_not_mirrored() -> None:
    assert not is_mirrored([placement((40, 35, 10))] * 3)


def test_organs_of_very_different_size_are_not_mirrored() -> None:
    assert not is_mirrored([placement((100, 0, 0), volumes=(100, 1000))])


def test_without_a_case_nothing_is_confirmed() -> None:
    assert not is_mirrored([])
