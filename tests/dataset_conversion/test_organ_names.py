"""Reading names: what does not matter, and that a side is never mistaken."""

from __future__ import annotations

import itertools

import pytest

from dataset_conversion.organ_names import Reading, organ_key, readings

LEFT, RIGHT = ("left", "l", "lt", "左", "左侧"), ("right", "r", "rt", "右", "右侧")


def full_width(text: str) -> str:
    """The ASCII characters of the text in their full-width forms."""
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text).replace(" ", "\u3000")


@pytest.mark.parametrize("words", [("optic", "nerve"), ("parotid",), ("视神经",), ("head", "of", "femur")])
@pytest.mark.parametrize("side", ["left", "right"])
def test_spelling_does_not_matter_but_the_side_does(words: tuple[str, ...], side: str) -> None:
    sides = LEFT if side == "left" else RIGHT
    joints, cases = (" ", "_", "-", ".", " - ", "__"), (str, str.upper, str.title, full_width)
    for word, joint, case in itertools.product(sides, joints, cases):
        for order in ((word, *words), (*words, word), (words[0], word, *words[1:])):
            name = case(joint.join(order))
            assert Reading("".join(words), side) in readings(name), name  # type: ignore[arg-type]
            assert {reading.side for reading in readings(name)} == {side}, name


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("LeftParotid", "left"),
        ("ParotidR", "right"),
        ("LParotid", "left"),
        ("RTParotid", "right"),
        ("Parotid (L)", "left"),
        ("lparotid", "left"),
        ("parotidrt", "right"),
        ("右parotid", "right"),
        (full_width("Parotid(L)"), "left"),
    ],
)
def test_sides_in_brackets_and_glued_on(name: str, side: str) -> None:
    assert Reading("parotid", side) in readings(name)  # type: ignore[arg-type]
    other = "right" if side == "left" else "left"
    assert Reading("parotid", other) not in readings(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Parotid_L_R", "左右parotid", "Left-Right Parotid"])
def test_a_name_with_both_sides_reads_as_both(name: str) -> None:
    assert readings(name) == {Reading("parotid", "left"), Reading("parotid", "right")}


def test_letters_inside_a_word_are_no_side() -> None:
    assert readings("Colliery") == {Reading("colliery")}
    assert {reading.side for reading in readings("colon_d")} == {None}


def test_the_key_of_a_name() -> None:
    assert organ_key("Head-of femur") == organ_key(full_width("HEAD_of femur")) == "headoffemur"
    assert organ_key("") == "" == organ_key("_-")
