from __future__ import annotations

import pytest

from autoseg.errors import FileError, OptionError
from autoseg.registry import resolve

REGISTRY = {"file": "autoseg.errors:FileError", "grid": "autoseg.geometry:Geometry"}


def test_a_registered_name() -> None:
    assert resolve("thing", REGISTRY, "file") is FileError


def test_ones_own_by_module_and_name() -> None:
    assert resolve("thing", REGISTRY, "autoseg.errors:OptionError") is OptionError


@pytest.mark.parametrize("name", ["other", "", ":File", ".errors:FileError"])
def test_an_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(OptionError, match=r"There is no thing '.*'\. Known: file, grid\."):
        resolve("thing", REGISTRY, name)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(OptionError, match=r"'nowhere\.at\.all:X' cannot be imported .*Is its package installed"):
        resolve("thing", REGISTRY, "nowhere.at.all:X")


def test_a_name_that_is_not_in_the_module() -> None:
    with pytest.raises(OptionError, match=r"module autoseg\.errors has no 'Nothing'"):
        resolve("thing", REGISTRY, "autoseg.errors:Nothing")
