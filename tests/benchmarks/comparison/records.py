"""What a run of the suite found: lines of the table, kept in one JSON that a killed run continues."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoseg.errors import AutosegError
from autoseg.files import from_json, read_json, write_json

RESULTS_SCHEMA = 1
GIBIBYTE = 1024**3


@dataclass(frozen=True)
class Target:
    """What an issue asks of a line. kind: "ratio", "at least" or "at most"; the latter two are for autoseg's value."""

    kind: str
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("ratio", "at least", "at most"):
            raise ValueError(f"{self.kind!r} is no kind of target")

    def is_met(self, line: Line) -> bool | None:
        """Whether the line reaches it; None where nothing was measured."""
        found = line.ratio if self.kind == "ratio" else line.ours_median
        if found is None:
            return None
        return found <= self.value if self.kind == "at most" else found >= self.value


@dataclass(frozen=True)
class Line:
    """One quantity, measured on both sides in turn.

    key: unique. unit: "s", "bytes", "%", "Dice" or empty. peer, ours: one value per pair, in the order of measuring;
    empty where a side was not or could not be measured, which the note explains. has_ratio: whether less is better
    and a quotient means something.
    """

    key: str
    what: str
    unit: str
    peer: tuple[float, ...]
    ours: tuple[float, ...]
    target: Target | None = None
    has_ratio: bool = True
    note: str = ""

    @property
    def peer_median(self) -> float | None:
        """The median over pairs."""
        return median(self.peer)

    @property
    def ours_median(self) -> float | None:
        """The median over pairs."""
        return median(self.ours)

    @property
    def ratios(self) -> tuple[float, ...]:
        """peer / autoseg of each pair: how many times better autoseg is."""
        if not self.has_ratio:
            return ()
        return tuple(p / o for p, o in zip(self.peer, self.ours, strict=False) if o > 0)

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios."""
        return median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target or a value."""
        return None if self.target is None else self.target.is_met(self)


def median(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return statistics.median(values) if values else None


@dataclass(frozen=True)
class Finished:
    """A benchmark that was run to its end.

    date: of its end, ISO. load: cores that others kept busy before it began. commands: that reproduce it by hand.
    details: everything else that was seen, such as all settings of the peer that were tried. options: of the command,
    those that decide what this benchmark measures.
    """

    date: str
    seconds: float
    load: float
    lines: tuple[Line, ...]
    commands: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunIdentity:
    """What results of one file have in common. Another identity begins a new file."""

    autoseg: str
    peer: str
    machine: str
    quick: bool


@dataclass(frozen=True)
class Results:
    """All that was finished, by the key of the benchmark."""

    identity: RunIdentity
    finished: dict[str, Finished] = field(default_factory=dict)
    schema: int = RESULTS_SCHEMA

    def with_finished(self, key: str, benchmark: Finished) -> Results:
        """The results after one more benchmark."""
        return replace(self, finished={**self.finished, key: benchmark})

    def detail(self, key: str, name: str, default: Any) -> Any:
        """A detail of a benchmark that is finished, else the default."""
        benchmark = self.finished.get(key)
        return default if benchmark is None else benchmark.details.get(name, default)


def read_results(path: Path) -> Results:
    """Read a results file; FormatError names the key that is wrong."""
    return from_json(Results, read_json(path), path)


def continue_results(path: Path, identity: RunIdentity) -> Results:
    """The results to go on with: those of the file where it has this identity; else none, and the file is put aside."""
    if not path.exists():
        return Results(identity)
    try:
        earlier = read_results(path)
    except AutosegError:
        earlier = None
    if earlier is not None and earlier.identity == identity:
        return earlier
    number = 1
    while (aside := path.with_name(f"{path.stem}_before_{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    return Results(identity)


def write_results(path: Path, results: Results) -> None:
    """Write the results whole or not at all."""
    write_json(path, results)
