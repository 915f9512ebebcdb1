from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from autoseg import errors
from autoseg.errors import AutosegError, FileError, FormatError, OptionError, unknown_name

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AutosegError)]


def make(kind: type[AutosegError]) -> AutosegError:
    if issubclass(kind, FileError):
        return kind(Path("a/b.nii"), "is broken.", "Mend it.")
    return kind("It is broken.", "Mend it.")


@pytest.mark.parametrize("kind", ALL)
def test_the_tree_is_drawn_in_the_docstring(kind: type) -> None:
    assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", ALL)
def test_errors_cross_process_borders_whole(kind: type[AutosegError]) -> None:
    error = make(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.fact, again.remedy) == (str(error), error.fact, error.remedy)
    assert vars(again) == vars(error)


def test_a_file_error_begins_with_the_path() -> None:
    assert str(make(FormatError)) == "a/b.nii: is broken. Mend it."
    assert make(FormatError).fact == "a/b.nii: is broken."


def test_an_error_without_remedy_is_its_fact() -> None:
    assert str(AutosegError("It is broken.")) == "It is broken."


def test_an_unknown_name_lists_the_known_in_order() -> None:
    error = unknown_name("planner", "x", ["b", "a"])
    assert isinstance(error, OptionError)
    assert str(error) == "There is no planner 'x'. Known: a, b."
