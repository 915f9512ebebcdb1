"""Where a run of the suite keeps its things, and how it calls the two programs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autoseg.errors import OptionError
from autoseg.files import read_json, write_json
from autoseg.runtime import available_memory_bytes, usable_cores
from comparison.environment import PEER, REPOSITORY, Environment, make_environment
from comparison.processes import Usage, run_child
from comparison.records import GIBIBYTE, Line

SIDES = Path(__file__).parents[1] / "sides"
SPARE_BYTES = 2 * GIBIBYTE
"""Left to the system: a tree that takes more of what is available is stopped."""


class LeftOut(Exception):  # noqa: N818 - nothing failed
    """Why a benchmark cannot be run on this machine, as a sentence; it is left out of the table."""


@dataclass(frozen=True)
class Measured:
    """What a benchmark gives. commands, details: see records.Finished."""

    lines: tuple[Line, ...]
    commands: tuple[str, ...] = ()
    details: dict[str, Any] | None = None


@dataclass(frozen=True)
class Bench:
    """The settings of a run.

    cache: folder outside of the repository. data: with the real volumes; None where there are none. repeats: pairs of
    measurements of what is short. long: also run the peer where it takes very long.
    """

    cache: Path
    data: Path | None
    quick: bool
    repeats: int
    long: bool

    @property
    def root(self) -> Path:
        """raw, prepared and results of both sides. A quick run's stand apart."""
        return self.cache / ("quick" if self.quick else "full")

    @property
    def results_file(self) -> Path:
        """The JSON of the last run."""
        return self.root / "results.json"

    @property
    def cores(self) -> int:
        """That both sides may use."""
        return usable_cores()

    @cached_property
    def peer(self) -> Environment:
        """The peer's environment, installed where it is missing."""
        return make_environment(
            self.cache / "environments" / PEER.replace("==", "-"), [PEER], log=self.log("install_peer")
        )

    def log(self, name: str) -> Path:
        """What the children of a step wrote."""
        return self.root / "logs" / f"{name}.log"

    def fresh(self, name: str) -> Path:
        """An empty scratch folder."""
        folder = self.root / "scratch" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def real_data(self, name: str) -> Path:
        """A folder of the real volumes; OptionError where they are not at hand."""
        if self.data is None or not (self.data / name).is_dir():
            raise OptionError(
                f"The benchmark needs {name} and found none in {self.data}.",
                "Give --data FOLDER or AUTOSEG_TEST_DATA, or choose others with --only.",
            )
        return self.data / name

    def limit_bytes(self) -> int:
        """What a process tree may take now."""
        return max(GIBIBYTE // 2, available_memory_bytes() - SPARE_BYTES)

    def run_ours(self, name: str, *arguments: object, log: str, root: Path | None = None) -> Usage:
        """Run autoseg_NAME of this repository."""
        words = [*ours(name), *map(str, arguments), "--root", str(root or self.root)]
        return run_child(words, log=self.log(log), environment=OUR_PATH, limit_bytes=self.limit_bytes())

    def run_peer(self, name: str, *arguments: object, log: str, environment: dict[str, str]) -> Usage:
        """Run nnUNetv2_NAME. environment: see peer_environment."""
        words = [self.peer.command(f"nnUNetv2_{name}"), *map(str, arguments)]
        return run_child(words, log=self.log(log), environment=environment, limit_bytes=self.limit_bytes())

    def peer_environment(self, folder: Path, *, raw: Path | None = None, **settings: object) -> dict[str, str]:
        """The peer's variables: prepared cases and results lie in the folder. settings: of its nnUNet_ variables."""
        (folder / "preprocessed").mkdir(parents=True, exist_ok=True)
        (folder / "results").mkdir(parents=True, exist_ok=True)
        places = {
            "nnUNet_raw": str(raw or self.root / "raw"),
            "nnUNet_preprocessed": str(folder / "preprocessed"),
            "nnUNet_results": str(folder / "results"),
        }
        return places | {f"nnUNet_{name}": str(value) for name, value in settings.items()}

    def measure_ours(self, side: str, request: dict[str, Any]) -> tuple[Any, Usage]:
        """Run sides/SIDE.py with this interpreter; its answer."""
        return self._measure(sys.executable, side, request, OUR_PATH)

    def measure_peer(self, side: str, request: dict[str, Any], environment: dict[str, str]) -> tuple[Any, Usage]:
        """Run sides/SIDE.py in the peer's environment; its answer."""
        return self._measure(self.peer.python, side, request, environment)

    def _measure(
        self, python: Path | str, side: str, request: dict[str, Any], environment: dict[str, str]
    ) -> tuple[Any, Usage]:
        folder = self.fresh(side)
        write_json(folder / "request.json", request)
        words = [python, SIDES / f"{side}.py", folder / "request.json", folder / "answer.json"]
        usage = run_child(words, log=self.log(side), environment=environment, limit_bytes=self.limit_bytes())
        return read_json(folder / "answer.json"), usage


OUR_PATH = {"PYTHONPATH": str(REPOSITORY)}


def ours(name: str) -> list[str]:
    """The words that start autoseg_NAME of this repository, whatever is installed."""
    return [sys.executable, "-c", f"import sys; from autoseg.cli.{name} import main; sys.exit(main())"]


def in_turn(
    peer: Callable[[], Any], own: Callable[[], Any], repeats: int, *, first: Any = None
) -> tuple[list[Any], list[Any]]:
    """Measure peer, autoseg, peer, autoseg, ... first: the peer's first result where it is known already."""
    theirs, mine = [], []
    for number in range(repeats):
        theirs.append(first if number == 0 and first is not None else peer())
        mine.append(own())
    return theirs, mine


def values(results: Sequence[Any], name: str) -> tuple[float, ...]:
    """One attribute of several results."""
    return tuple(float(getattr(result, name)) for result in results)
