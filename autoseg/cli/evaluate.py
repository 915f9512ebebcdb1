"""autoseg_evaluate: score predicted labels against references."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from autoseg.cli import app

EPILOG = """examples:
  autoseg_evaluate OUT raw/Dataset004_Hippocampus/labelsTs
  autoseg_evaluate OUT LABELS -d 4 --tolerance-mm 1
  autoseg_evaluate OUT LABELS --pictures raw/Dataset004_Hippocampus/imagesTs
  autoseg_evaluate prediction.nii.gz reference.nii.gz

Cases are matched by name; endings may differ. The classes are named by a dataset.json in or above LABELS, or in OUT."""


def make_parser() -> argparse.ArgumentParser:
    """The options of autoseg_evaluate."""
    parser = app.parser("Score predicted labels: overlap, surface distances and volumes per case and class.", EPILOG)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of predictions, or one file")
    parser.add_argument("labels", type=Path, metavar="LABELS", help="folder of references, or one file")
    names = parser.add_mutually_exclusive_group()
    names.add_argument("--dataset-json", type=Path, metavar="FILE", help="names the classes")
    names.add_argument("-d", "--dataset", metavar="ID", help="id or name of a raw dataset whose dataset.json to use")
    parser.add_argument(
        "--tolerance-mm", type=float, default=2.0, metavar="MM", help="of the surface Dice (default: 2)"
    )
    parser.add_argument("--no-surface", action="store_true", help="leave out surface distances, for speed")
    parser.add_argument("--allow-missing", action="store_true", help="score the predicted cases although others lack")
    parser.add_argument("--workers", type=int, metavar="N", help="cases at once (default: the number of cores)")
    parser.add_argument("--pictures", type=Path, metavar="IMAGES", help="draw both outlines on these images, too")
    parser.add_argument(
        "--window", type=app.numbers, metavar="LOW,HIGH", help="black and white of the pictures: --window=-125,225"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for all that is written (default: OUT)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the JSON instead")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where to write the CSV instead")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 2 for an error of the user's."""
    return app.run(evaluate, make_parser(), argv)


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate, write both files and print the table."""
    from tqdm import tqdm

    from autoseg.evaluation.folders import EvaluationOptions, evaluate_folders
    from autoseg.evaluation.report import format_table, write_csv, write_report

    folder = arguments.output or (arguments.out if arguments.out.is_dir() else arguments.out.parent)
    options = EvaluationOptions(
        dataset_json=_dataset_json(arguments),
        surface=not arguments.no_surface,
        tolerance_mm=arguments.tolerance_mm,
        workers=os.cpu_count() or 1 if arguments.workers is None else arguments.workers,
        allow_missing=arguments.allow_missing,
        images=arguments.pictures,
        picture_folder=folder / "pictures",
        window=arguments.window,
    )
    report = evaluate_folders(
        arguments.out,
        arguments.labels,
        options,
        progress=lambda cases, total: tqdm(cases, total=total, desc="evaluating", unit="case", disable=None),
    )
    json_file, csv_file = arguments.json or folder / "evaluation.json", arguments.csv or folder / "evaluation.csv"
    write_report(json_file, report)
    write_csv(csv_file, report.summary)
    print(format_table(report))
    print(f"Every case: {json_file} and {csv_file}")
    if arguments.pictures is not None:
        print(f"Pictures: {options.picture_folder}")
    return 0


def _dataset_json(arguments: argparse.Namespace) -> Path | None:
    if arguments.dataset is None:
        return arguments.dataset_json
    from autoseg.workspace import Workspace

    workspace = Workspace.open(arguments.root)
    return workspace.raw(workspace.dataset_name(arguments.dataset)) / "dataset.json"
