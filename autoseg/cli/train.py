"""autoseg_train: train a configuration, fold by fold."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.cli import app
from autoseg.cli.compression_options import add_compression_options, checked_for, compression_options
from autoseg.cli.training_changes import add_training_changes, training_changes

if TYPE_CHECKING:
    from autoseg.plans import Plans
    from autoseg.training.options import TrainingOptions
    from autoseg.workspace import Workspace
    from trainers.job import TrainingResult

EPILOG = """examples:
  autoseg_train 4 3d_fullres                      all folds; those that are finished are skipped
  autoseg_train 4 3d_fullres --folds 0 --budget 10m
  autoseg_train 10 3d_cascade --folds 0 1 --budget 30m
  autoseg_train 10 3d_two_stage --budget 30m      a locator, then a network for each organ
  autoseg_train 4 3d_fullres --trainer channel_pruning --target-latency 0.5x --budget 10m

A run that was stopped continues when the same command is given again."""


def make_parser() -> argparse.ArgumentParser:
    """The options of autoseg_train."""
    parser = app.parser("Train a configuration of a planned dataset.", EPILOG)
    parser.add_argument("dataset", help="id or name of the dataset: 4, 004 or Dataset004_Hippocampus")
    parser.add_argument(
        "configuration", help="2d, 3d_fullres, 3d_lowres, 3d_cascade or 3d_two_stage, as far as the plans have it"
    )
    parser.add_argument(
        "--folds", nargs="+", default=(), metavar="N", help="folds to train, or 'all' (default: every fold)"
    )
    parser.add_argument("--budget", type=app.seconds, help="wall clock per fold and stage: 90s, 10m, 1.5h")
    parser.add_argument("--epochs", type=int, help="length in epochs, in place of a budget")
    parser.add_argument("--iterations-per-epoch", type=int, help="iterations of an epoch")
    parser.add_argument("--patience", type=int, metavar="EPOCHS", help="stop after this many epochs without progress")
    parser.add_argument("--pretrained", type=Path, metavar="FOLDER", help="start from the weights of this model")
    parser.add_argument("--seed", type=int, default=0, help="of weights and patches (default: 0)")
    parser.add_argument(
        "--trainer",
        help="standard, cascade, two_stage, channel_pruning, threshold_pruning, quantization, int8, compress or "
        "package.module:Class",
    )
    parser.add_argument(
        "--tag", type=_tag, metavar="NAME", help="after the trainer in the model folder's name: keeps several models"
    )
    parser.add_argument("--plans-name", default="plans", help="which plans (default: plans)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"), help="of the arithmetic"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches (0: a background thread)")
    parser.add_argument("--restart", action="store_true", help="train finished and started folds again from nothing")
    add_training_changes(parser.add_argument_group("in place of what the plans say"))
    add_compression_options(parser.add_argument_group("of trainers that make a finished model smaller"))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 2 for an error of the user's."""
    return app.run(train, make_parser(), argv)


def train(arguments: argparse.Namespace) -> int:
    """Train and tell the result."""
    from autoseg.workspace import Workspace

    workspace = Workspace.open(arguments.root)
    name = workspace.dataset_name(arguments.dataset)
    plans = _read_plans(workspace.plans_file(name, arguments.plans_name), arguments.dataset)
    result = make_trainer(workspace, name, plans, arguments).run()
    _tell(result, name, arguments)
    return 0


def make_trainer(workspace: Workspace, name: str, plans: Plans, arguments: argparse.Namespace) -> Any:
    """The trainer of a dataset's configuration, ready to run; nothing is written. name: the dataset's full one."""
    from autoseg.dataset import read_dataset
    from autoseg.registry import resolve
    from autoseg.runtime.allocator import keep_freed_memory
    from trainers import TRAINERS
    from trainers.job import Job
    from trainers.usual import usual_trainer_name

    keep_freed_memory()
    options = _training_options(arguments)
    stages = plans.configuration_stages(arguments.configuration)
    trainer_name = arguments.trainer or usual_trainer_name(stages)
    compression = checked_for(trainer_name, compression_options(arguments))
    trainer_class = resolve("trainer", TRAINERS, trainer_name)
    kept_as = "-".join(filter(None, (trainer_name.rpartition(":")[2], arguments.tag)))
    folder = workspace.model(name, kept_as, plans.name, arguments.configuration)
    dataset = read_dataset(workspace.raw(name))
    return trainer_class(Job(workspace, dataset, plans, arguments.configuration, folder, options, compression))


def _training_options(arguments: argparse.Namespace) -> TrainingOptions:
    from autoseg.training.options import TrainingOptions

    return TrainingOptions(
        folds=tuple(arguments.folds),
        epochs=arguments.epochs,
        iterations_per_epoch=arguments.iterations_per_epoch,
        budget_seconds=arguments.budget,
        changes=training_changes(arguments),
        patience=arguments.patience,
        pretrained=arguments.pretrained,
        seed=arguments.seed,
        device=arguments.device,
        precision=arguments.precision,
        threads=arguments.threads,
        workers=arguments.workers,
        restart=arguments.restart,
    )


def _tag(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.+]+(?:[_-][A-Za-z0-9.+]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no tag: letters, digits, . and +, parted by single - or _")
    return text


def _read_plans(path: Path, dataset: str) -> Plans:
    from autoseg.errors import PlanningError
    from autoseg.plans import read_plans

    if not path.exists():
        raise PlanningError(
            f"There are no plans at {path}.", f"Make them with autoseg_plan_and_preprocess -d {dataset}."
        )
    return read_plans(path)


def _tell(result: TrainingResult, dataset: str, arguments: argparse.Namespace) -> None:
    for fold, dice in result.fold_dice.items():
        print(f"fold {fold}: " + (f"mean Dice {dice:.4f} over the validation cases" if dice is not None else "trained"))
    if result.mean_dice is not None and len(result.fold_dice) > 1:
        print(f"mean over folds: {result.mean_dice:.4f}")
    print(f"model: {result.folder}")
    trainer = result.folder.name.partition("__")[0]
    model = f"-d {dataset} -c {arguments.configuration} --trainer {trainer}{app.further(arguments)}"
    print(f"next: autoseg_predict {model} -i IMAGES -o OUT")
