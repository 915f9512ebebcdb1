"""Virtual environments of the two programs: made once, with the time and the disk space that it took."""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.files import from_json, read_json, write_json
from comparison.processes import Usage, run_child

REPOSITORY = Path(__file__).parents[3]
CONSTRAINTS = "constraints.txt"
PEER = "nnunetv2==2.8.1"
RECORD = "installation.json"


@dataclass(frozen=True)
class Installation:
    """What it took, and the date of it.

    bytes: of the whole environment on disk. distributions: installed packages, pip left out.
    """

    wall_seconds: float
    cpu_seconds: float
    bytes: int
    distributions: int
    date: str = "an earlier day"


@dataclass(frozen=True)
class Environment:
    """A virtual environment in a folder."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"

    def command(self, name: str) -> Path:
        """A console script."""
        return self.folder / "bin" / name

    @property
    def installation(self) -> Installation:
        """What it took to make it."""
        path = self.folder / RECORD
        return from_json(Installation, read_json(path), path)


def install_command(requirements: Sequence[str]) -> list[str]:
    """pip's words, in the repository. Nothing is taken from pip's cache, so that both sides fetch everything."""
    return ["-m", "pip", "install", "--no-cache-dir", "-c", CONSTRAINTS, *requirements]


def make_environment(folder: Path, requirements: Sequence[str], *, log: Path) -> Environment:
    """The environment in a folder: made now, unless it was finished before. Raises ChildError where pip fails."""
    environment = Environment(folder)
    if (folder / RECORD).exists():
        return environment
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {' '.join(requirements)} into {folder} ...", flush=True)
    made = run_child([sys.executable, "-m", "venv", folder], log=log)
    installed = run_child([environment.python, *install_command(requirements)], log=log, folder=REPOSITORY)
    write_json(folder / RECORD, _measure(environment, made, installed))
    return environment


def _measure(environment: Environment, made: Usage, installed: Usage) -> Installation:
    files = [path for path in environment.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    distributions = [path for path in environment.folder.rglob("*.dist-info") if path.is_dir()]
    return Installation(
        made.wall_seconds + installed.wall_seconds,
        made.cpu_seconds + installed.cpu_seconds,
        sum(path.stat().st_size for path in files),
        len([path for path in distributions if not path.name.startswith(("pip-", "setuptools-"))]),
        datetime.date.today().isoformat(),
    )
