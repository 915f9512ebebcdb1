"""autoseg_compare: train variants of one system and compare their Dice, or measure what trained models cost."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from autoseg.cli import app
from autoseg.cli.variants import option_and_text

EPILOG = """examples:
  autoseg_compare 10 --vary pooling=2,3,4 --budget 30m
  autoseg_compare 10 --vary loss=dice,ce,focal --set recipe=head_neck_thesis --folds 0 1 --seeds 0 1 2
  autoseg_compare 10 --vary configuration=3d_fullres,3d_cascade --total 1h -i IMAGES --labels LABELS
  autoseg_compare 10 --vary patch-size=32,32,32/48,48,48 --dry-run
  autoseg_compare 10 --trade-off -c 3d_lowres -i IMAGES --labels LABELS      what is trained, by every engine

Any option of autoseg_plan_and_preprocess that decides what is planned, and most of autoseg_train, can be varied or set;
the value 'default' leaves it to the planner. A run that was stopped continues when the same command is given again."""


def make_parser() -> argparse.ArgumentParser:
    """The options of autoseg_compare."""
    parser = app.parser(
        "Train variants of one system under the same budget and seeds, and compare their Dice; or compare the Dice, "
        "size, time and memory of all models that are trained.",
        EPILOG,
    )
    parser.add_argument("dataset", help="id or name of the dataset: 10, 010 or Dataset010_HeadNeck")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--vary", type=option_and_text, metavar="NAME=VALUE,VALUE", help="an option, and its values")
    what.add_argument("--trade-off", action="store_true", help="measure the trained models by every engine")
    parser.add_argument(
        "--set",
        type=option_and_text,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="options of all variants",
    )
    parser.add_argument("-c", "--configuration", metavar="NAME", help="to train (default: what planning suggests)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--budget", type=app.seconds, help="time of each training: 30m (CPU: 1h)")
    budget.add_argument("--total", type=app.seconds, help="time of all trainings of a variant together, in its place")
    parser.add_argument("--folds", nargs="+", default=("0",), metavar="N", help="folds to train of each (default: 0)")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,), metavar="N", help="seeds of each (default: 0)")
    parser.add_argument("-i", "--images", type=Path, metavar="FOLDER", help="test images, in place of validation cases")
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="the labels of the test images")
    parser.add_argument("--name", help="of the comparison (default: the option that is varied)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    parser.add_argument("--memory", type=app.size_in_bytes, help="of training (GPU: 8G; CPU: half of what is free)")
    parser.add_argument(
        "--backends", nargs="+", metavar="NAME", help="of a trade-off (default: all that are installed)"
    )
    parser.add_argument("--steps", action="store_true", help="of a trade-off: the steps of compressions, too")
    parser.add_argument("--threads", type=int, help="of a trade-off: CPU threads (default: all cores)")
    parser.add_argument("--plans-name", default="plans", help="of a trade-off: whose models (default: plans)")
    parser.add_argument("--dry-run", action="store_true", help="plan the variants and tell the time, but write nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 2 for an error of the user's."""
    return app.run(compare_variants, make_parser(), argv)


def compare_variants(arguments: argparse.Namespace) -> int:
    """Plan all variants, tell the time, train what is not finished, score, and show; or measure what is trained."""
    from autoseg.cli.comparing import Comparing
    from autoseg.cli.comparison_costs import format_costs, write_costs
    from autoseg.cli.comparison_runs import announcement
    from autoseg.evaluation.comparison import compare, format_comparison, write_comparison

    _check(arguments)
    if arguments.trade_off:
        return compare_models(arguments)
    comparing = Comparing(arguments)
    print(f"comparison {comparing.name}: {comparing.what} = {', '.join(v.value for v in comparing.variants)}")
    runs = comparing.plan()
    print(announcement(runs))
    if arguments.dry_run:
        return 0
    comparing.begin(runs)
    for run in runs:
        print(f"\n{comparing.what}={run.variant.value}, seed {run.seed}:", flush=True)
        run.trainer.run()
    comparison = compare(comparing.what, comparing.summaries(runs), comparing.labels.names)
    write_comparison(comparing.folder, comparison)
    costs = comparing.costs(runs)
    write_costs(comparing.folder, costs)
    print(f"\n{format_comparison(comparison)}\n\n{format_costs(comparing.what, costs)}")
    print(f"comparison: {comparing.folder} (comparison.json, comparison.csv, comparison.png, costs.json)")
    return 0


def compare_models(arguments: argparse.Namespace) -> int:
    """Predict with every trained model by every engine, and show what each costs and is worth."""
    from autoseg.cli.trading_off import TradingOff
    from autoseg.evaluation.trade_off import format_trade_off, write_trade_off

    trading = TradingOff(arguments)
    names = ", ".join(dict.fromkeys(entrant.model for entrant in trading.entrants))
    print(f"trade-off {trading.folder.name}: {len(trading.entrants)} predictions with {names}")
    if arguments.dry_run:
        return 0
    trade_off = trading.run()
    write_trade_off(trading.folder, trade_off)
    print(f"\n{format_trade_off(trade_off)}")
    print(f"trade-off: {trading.folder} (trade_off.json, trade_off.csv, trade_off.png)")
    print(choosing(arguments))
    return 0


def choosing(arguments: argparse.Namespace) -> str:
    """How to predict with the best model of a trade-off, as a line for the user."""
    from autoseg.evaluation.trade_off import NAME

    if arguments.name not in (None, NAME):
        return f"note: autoseg_predict -c best chooses by the trade-off without --name, and not by {arguments.name}"
    choice = f"-d {arguments.dataset} -c best --max-seconds N --max-memory SIZE"
    return f"next: autoseg_predict {choice} -i IMAGES -o OUT{app.further(arguments)}"


def _check(arguments: argparse.Namespace) -> None:
    from autoseg.errors import OptionError

    given = {
        "--set": arguments.set,
        "--budget": arguments.budget,
        "--total": arguments.total,
        "--memory": arguments.memory,
        "--seeds": arguments.seeds != (0,),
    }
    measuring = {
        "--backends": arguments.backends,
        "--steps": arguments.steps,
        "--threads": arguments.threads,
        "--plans-name": arguments.plans_name != "plans",
    }
    for name, value in (given if arguments.trade_off else measuring).items():
        if value:
            fact = "trains nothing" if arguments.trade_off else "plans and trains its own models"
            raise OptionError(f"A comparison that {fact} has no use for {name}.", "Leave it out.")
    if (arguments.images is None) != (arguments.labels is None):
        raise OptionError("Test images need their labels, and labels their images.", "Give both -i and --labels.")
    if arguments.images is None and "all" in arguments.folds:
        raise OptionError(
            "--folds all leaves no case to validate on.", "Give folds, or test cases with -i and --labels."
        )
    if arguments.vary and arguments.configuration and arguments.vary[0] == "configuration":
        raise OptionError("-c fixes what --vary configuration varies.", "Leave one of them out.")
    if len(set(arguments.seeds)) < len(arguments.seeds):
        raise OptionError(f"--seeds must differ, and are {', '.join(map(str, arguments.seeds))}.")
