"""Reading the names that people give to organs: which side, and which organ, in whatever spelling."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Side = Literal["left", "right"]

SIDE_WORDS: dict[str, Side] = {"left": "left", "lt": "left", "l": "left", "right": "right", "rt": "right", "r": "right"}
PART = "~"
HELPING = ("_", "z_", "!")
"""In a name, and what it begins with: structures that are no whole organs."""
CHINESE_SIDES = (("左", " left "), ("右", " right "))


@dataclass(frozen=True)
class Reading:
    """One way to read a name. key: the organ, without spaces, signs, case and side."""

    key: str
    side: Side | None = None


def readings(name: str) -> frozenset[Reading]:
    """All ways to read a name; more than one where the side may be glued to the organ, or where both sides are named.

    Case, spaces, underscores, hyphens, brackets and the full-width forms of letters do not matter. The side is a word
    (left, lt, l; right, rt, r) before, behind or between the others, 左 or 右, or glued on (LeftEye, kidneyrt). A name
    is never cut in any other way: what is no organ's name stays unknown. So does a part of an organ (Lung~_L), and what
    planning drew to help itself (_Lung_L, z_Lung_L, !Lung_L), as AAPM TG-263 and clinics mark them.
    """
    if PART in name or name.strip().casefold().startswith(HELPING):
        return frozenset()
    words = _words(_plain(name))
    key = "".join(word for word in words if word not in SIDE_WORDS)
    sides = {SIDE_WORDS[word] for word in words if word in SIDE_WORDS}
    return frozenset({Reading(key, side) for side in sides} or {Reading(key), *_unglued(key)})


def organ_key(name: str) -> str:
    """The key of a name that has no side.

    >>> organ_key("Spinal-Cord") == organ_key("SpinalCord") == organ_key("ｓｐｉｎａｌ　ｃｏｒｄ") == "spinalcord"
    True
    """
    return "".join(_words(_plain(name)))


def _plain(name: str) -> str:
    """Full-width letters become plain ones; 左 and 右, with 侧 or without, become words."""
    text = re.sub(r"([左右])[侧側]", r"\1", unicodedata.normalize("NFKC", name))
    for sign, word in CHINESE_SIDES:
        text = text.replace(sign, word)
    return text


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", text.casefold()) if word]


def _unglued(key: str) -> set[Reading]:
    before = {Reading(key[len(word) :], side) for word, side in SIDE_WORDS.items() if key.startswith(word)}
    behind = {Reading(key[: -len(word)], side) for word, side in SIDE_WORDS.items() if key.endswith(word)}
    return before | behind
