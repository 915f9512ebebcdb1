"""Every error that a user can cause, as one tree.

AutosegError                 what the command line shows without a traceback, exit code 2
├── FileError                a file is missing, broken, or not what it should be
│   └── FormatError          JSON of ours with an unknown, missing or wrong key
├── GeometryError            grids that cannot be used, or that do not agree
├── DatasetError             a dataset as a whole cannot be used
├── PlanningError            a plan that cannot be made, or that was asked for and does not exist
├── OptionError              options that contradict each other or lie outside their range
└── ResourceError            not enough memory, disk or time for what was asked
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class AutosegError(Exception):
    """An error with a fact and a remedy, shown to the user as one sentence each.

    fact: what is wrong, with the value that was found. remedy: what to do about it.
    """

    def __init__(self, fact: str, remedy: str = "") -> None:
        self.fact = fact
        self.remedy = remedy
        super().__init__(f"{fact} {remedy}".strip())

    def __reduce__(self) -> tuple:
        """Pickle by the two sentences, so that the error crosses process borders whole."""
        return type(self), (self.fact, self.remedy)


class FileError(AutosegError):
    """A file that cannot be used; the path comes first in the message."""

    def __init__(self, path: Path | str, fact: str, remedy: str = "") -> None:
        self.path = Path(path)
        self.file_fact = fact
        super().__init__(f"{path}: {fact}", remedy)

    def __reduce__(self) -> tuple:
        """Pickle by path, fact and remedy."""
        return type(self), (self.path, self.file_fact, self.remedy)


class FormatError(FileError):
    """A JSON file of ours, or a dataset.json, whose keys or values are wrong."""


class GeometryError(AutosegError):
    """A grid that cannot be used (singular, sheared, zero spacing), or two that do not agree."""


class DatasetError(AutosegError):
    """A dataset that cannot be used as a whole."""


class PlanningError(AutosegError):
    """A plan or configuration that cannot be made or does not exist."""


class OptionError(AutosegError):
    """Options that contradict each other or lie outside their range."""


class ResourceError(AutosegError):
    """Not enough memory, disk or time for what was asked."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> OptionError:
    """The error for a name that is in no registry; it lists the names that are."""
    return OptionError(f"There is no {kind} {name!r}.", f"Known: {', '.join(sorted(known))}.")
