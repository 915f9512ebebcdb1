"""(f) Installation, --help, and the import that prediction in Python needs."""

from __future__ import annotations

import shutil
import sys

from comparison.bench import OUR_PATH, Bench, Measured, in_turn, ours, values
from comparison.environment import Installation, install_command, make_environment
from comparison.processes import run_child
from comparison.records import Line, Results

OUR_REQUIREMENTS = ("-e", ".[cpu]")
"""Those of the README's first command, with which everything else is measured."""
COMMANDS = ("plan_and_preprocess", "train", "predict")
PEER_IMPORT = "from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor"
OUR_IMPORT = "from autoseg.inference.model import load_model"


def installation(bench: Bench, results: Results) -> Measured:
    """f1: what a fresh virtual environment costs."""
    log = bench.log("install_ours")
    folder = bench.cache / "environments" / "autoseg"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier commit
    own = make_environment(folder, OUR_REQUIREMENTS, log=log).installation
    theirs = bench.peer.installation
    note = (
        f"{theirs.distributions} distributions, installed on {theirs.date}, and {own.distributions}, installed on "
        f"{own.date}; once, without pip's cache"
    )
    lines = (
        _line("time", "installation", "s", theirs, own, note),
        _line("size", "installation: on disk", "bytes", theirs, own, ""),
    )
    commands = (
        f"python {' '.join(install_command(['nnunetv2==2.8.1']))}",
        f"python {' '.join(install_command(OUR_REQUIREMENTS))}",
    )
    return Measured(lines, commands)


def _line(name: str, what: str, unit: str, theirs: Installation, own: Installation, note: str) -> Line:
    field = "wall_seconds" if unit == "s" else "bytes"
    return Line(f"f.{name}", what, unit, values([theirs], field), values([own], field), note=note)


def start_up(bench: Bench, results: Results) -> Measured:
    """f2: --help of three commands, and the import."""
    lines: list[Line] = []
    for name in COMMANDS:
        peer, own = [bench.peer.command(f"nnUNetv2_{name}"), "--help"], [*ours(name), "--help"]
        lines += _compare(bench, f"help_{name}", f"--help of {name}", peer, own)
    peer, own = [bench.peer.python, "-c", PEER_IMPORT], [sys.executable, "-c", OUR_IMPORT]
    lines += _compare(bench, "import", "import for prediction", peer, own)
    return Measured(tuple(lines), (f'python -c "{PEER_IMPORT}"', f'python -c "{OUR_IMPORT}"'))


def _compare(bench: Bench, key: str, what: str, peer: list, own: list) -> list[Line]:
    environment, log = bench.peer_environment(bench.root / "peer"), bench.log("f")
    for words, variables in ((peer, environment), (own, OUR_PATH)):
        run_child(words, log=log, environment=variables)  # from now on the files are in memory
    theirs, mine = in_turn(
        lambda: run_child(peer, log=log, environment=environment),
        lambda: run_child(own, log=log, environment=OUR_PATH),
        bench.repeats,
    )
    seconds = values(theirs, "wall_seconds"), values(mine, "wall_seconds")
    peaks = values(theirs, "peak_bytes"), values(mine, "peak_bytes")
    return [
        Line(f"f.{key}", what, "s", *seconds),
        Line(f"f.{key}.memory", f"{what}: peak memory", "bytes", *peaks),
    ]
