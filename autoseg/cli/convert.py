"""autoseg_convert: turn data as it comes into a raw dataset in nnU-Net v2's layout."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg.cli import app
from autoseg.cli.progress import CaseBar
from autoseg.errors import DatasetError, OptionError
from autoseg.registry import resolve
from autoseg.workspace import DATASET_NAME, Workspace, full_name
from dataset_conversion import CONVERTERS

EPILOG = """The options of one converter: autoseg_convert NAME --help.
Your own converter (see documentation/how_to/add_a_site.md): autoseg_convert package.module:Class SOURCE -d ID."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of autoseg_convert."""
    argv = sys.argv[1:] if argv is None else list(argv)
    return app.run(convert, build_parser(argv), argv)


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """One subcommand per converter; a "package.module:Class" among the first arguments becomes one, too."""
    parser = app.parser(__doc__ or "", EPILOG)
    commands = parser.add_subparsers(metavar="NAME", required=True)
    before = itertools.takewhile(lambda word: word not in CONVERTERS, argv[:3])  # what follows a name are its options
    foreign = [word for word in before if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", word)][:1]
    try:
        for name in [*CONVERTERS, *foreign]:
            _add_command(commands, name, resolve("converter", CONVERTERS, name)())
    except OptionError as error:
        parser.error(str(error))
    return parser


def _add_command(commands: Any, name: str, converter: Any) -> None:
    parser = commands.add_parser(name, help=converter.summary, description=f"Convert {converter.summary}.")
    if converter.needs_source:
        parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with the data as they come")
    else:
        parser.add_argument("source", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("-d", "--dataset", type=_dataset_id, required=True, metavar="ID", help="number of the dataset")
    parser.add_argument("--name", help="name of the dataset, after its number (the source's)")
    workers = os.cpu_count() or 1
    parser.add_argument("--workers", type=int, default=workers, help=f"cases converted at a time ({workers})")
    parser.add_argument("--root", default=argparse.SUPPRESS, help="folder with raw, prepared and results")
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    converter.add_arguments(parser.add_argument_group("options of this converter"))
    parser.set_defaults(converter=converter)


def _dataset_id(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number such as 4 or 004")
    return int(text)


def convert(options: argparse.Namespace) -> int:
    """Convert, and say where the dataset is and what to do next."""
    if options.workers < 1:
        raise OptionError(f"--workers must be at least 1, not {options.workers}.")
    workspace = Workspace.open(options.root)
    name = full_name(options.dataset, options.name or options.converter.dataset_name(options.source, options))
    _check_name(name)
    _check_id(workspace, options.dataset, name)
    folder = workspace.raw(name)
    with CaseBar(name) as bar:
        options.converter.convert(options.source, folder, options, bar.show)
    _report(folder, options)
    return 0


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w-]+", name):
        raise OptionError(f"{name!r} cannot be the name of a folder.", "Use letters, digits, _ and - in --name.")


def _check_id(workspace: Workspace, dataset_id: int, name: str) -> None:
    for known in workspace.dataset_names():
        match = DATASET_NAME.fullmatch(known)
        if match is not None and int(match[1]) == dataset_id and known != name:
            raise DatasetError(
                f"The id {dataset_id} belongs to {known} already, so that it cannot be given to {name}.",
                f"Choose another id, or give --name {match[2]} to continue that one.",
            )


def _report(folder: Path, options: argparse.Namespace) -> None:
    from autoseg.dataset import read_dataset

    dataset = read_dataset(folder)
    tests = f" and {len(dataset.test_cases)} test" if dataset.test_cases else ""
    print(f"{dataset.name}: {len(dataset.cases)} training{tests} cases in {folder}")
    print(f"  channels: {', '.join(dataset.channel_names)}; classes: {', '.join(dataset.labels.names)}")
    partial = sum(bool(case.not_contoured) for case in (*dataset.cases, *dataset.test_cases))
    if partial:
        print(f"  {partial} cases lack classes that nobody contoured; they do not teach that these are absent.")
    print(f"next: autoseg_plan_and_preprocess -d {options.dataset}{app.further(options)}")
