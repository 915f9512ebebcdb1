"""autoseg_demo: the main job on the embedded phantom dataset, from nothing to Dice per organ."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.cli import app

if TYPE_CHECKING:
    from autoseg.workspace import Workspace

DATASET_ID = 999
RECORD = "autoseg_demo.json"
EPILOG = """It runs the commands that a user would type, and shows each of them:
convert, plan_and_preprocess, train, predict, evaluate."""


def make_parser() -> argparse.ArgumentParser:
    """The options of autoseg_demo."""
    parser = app.parser("Draw a phantom dataset, plan, train a cascade, predict and evaluate.", EPILOG)
    parser.add_argument("--budget", default="60s", help="wall clock of each of the three trainings (default: 60s)")
    parser.add_argument("--cases", type=int, default=12, help="training cases to draw (default: 12)")
    parser.add_argument("--test-cases", type=int, default=4, help="held-out cases to draw (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="of the phantoms and the training (default: 0)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; without --root everything lies in ./autoseg_demo."""
    return app.run(demo, make_parser(), argv)


def demo(options: argparse.Namespace) -> int:
    """Run the five commands; the first that fails ends the demo with its exit code."""
    from autoseg.workspace import Workspace

    started = time.monotonic()
    workspace = Workspace.open(options.root or Path("autoseg_demo").absolute())
    _begin(workspace, options)
    for name, arguments in _commands(workspace.root, options):
        arguments = [*arguments, "--root", str(workspace.root)]
        print(f"\n$ autoseg_{name} {' '.join(arguments)}", flush=True)
        code = _command(name)(arguments)
        if code:
            return code
        if name == "convert":
            _write_two_folds(workspace.raw(workspace.dataset_name(str(DATASET_ID))))
    print(f"\nEverything lies in {workspace.root}; the demo took {time.monotonic() - started:.0f} s.")
    return 0


def _begin(workspace: Workspace, options: argparse.Namespace) -> None:
    """Make the folder ready for these options: another budget trains anew, other phantoms need another folder.

    The same options go on with what an earlier demo has finished.
    """
    import shutil

    from autoseg.errors import OptionError
    from autoseg.files import read_json, write_json
    from autoseg.workspace import full_name

    record = workspace.root / RECORD
    wanted = {name: getattr(options, name) for name in ("cases", "test_cases", "seed", "budget")}
    found = read_json(record) if record.exists() else {}
    for name, value in wanted.items():
        if name != "budget" and found.get(name, value) != value:
            flag = f"--{name.replace('_', '-')}"
            raise OptionError(
                f"{workspace.root} holds a demo with {flag} {found[name]}, not {value}.",
                "Give another folder with --root, or remove this one.",
            )
    results = workspace.results(full_name(DATASET_ID, "Phantom"))
    if found.get("budget") != wanted["budget"] and results.exists():
        before = f"for {found['budget']}" if "budget" in found else "with other settings"
        print(f"Trained {before} before: the models are removed and trained anew for {wanted['budget']}.")
        shutil.rmtree(results)
    write_json(record, wanted)


def _commands(root: Path, options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    raw, predicted = root / "raw" / f"Dataset{DATASET_ID}_Phantom", root / "predicted"
    drawn = ["--cases", str(options.cases), "--test-cases", str(options.test_cases), "--seed", str(options.seed)]
    number, budget = str(DATASET_ID), ["--budget", options.budget]
    return [
        ("convert", ["phantom", "-d", number, *drawn]),
        ("plan_and_preprocess", ["-d", number, "--cascade", "always", *budget]),
        ("train", [number, "3d_cascade", "--folds", "0", *budget, "--seed", str(options.seed)]),
        ("predict", ["-d", number, "-c", "3d_cascade", "-i", str(raw / "imagesTs"), "-o", str(predicted)]),
        ("evaluate", [str(predicted), str(raw / "labelsTs")]),
    ]


def _command(name: str) -> Callable[[Sequence[str]], int]:
    import importlib

    return importlib.import_module(f"autoseg.cli.{name}").main


def _write_two_folds(raw: Path) -> None:
    """Two folds instead of five: three short trainings in place of four."""
    from autoseg.data.folds import PEER_SPLITS_FILE, make_folds, write_folds
    from autoseg.dataset import read_dataset

    write_folds(raw / PEER_SPLITS_FILE, make_folds(read_dataset(raw), count=2))
