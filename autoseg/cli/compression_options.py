"""The options of autoseg_train for trainers that make a finished model smaller."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from autoseg.cli import app
from autoseg.compression.options import EVERY_METHOD, THRESHOLD_SCALES, Bound, CompressionOptions, given_options
from autoseg.errors import OptionError

SECONDS = {"ms": 1e-3, "s": 1.0}
BYTES = {"k": 1024.0, "m": 1024.0**2, "g": 1024.0**3}
PRUNING = ("channel_pruning",)
LEARNT_INT8 = "int8 --quantization-aware"
TAUGHT = ("channel_pruning", "threshold_pruning", "quantization", LEARNT_INT8)
USED_BY = {
    "criterion": ("--prune-criterion", PRUNING),
    "allocation": ("--prune-allocation", PRUNING),
    "granularity": ("--granularity", PRUNING),
    "pruning_schedule": ("--prune", PRUNING),
    "target_latency": ("--target-latency", PRUNING),
    "target_bytes": ("--target-size", ("channel_pruning", "compress")),
    "distil": ("--distil", TAUGHT),
    "temperature": ("--distil-temperature", TAUGHT),
    "distil_features": ("--distil-features", TAUGHT),
    "unlabelled": ("--unlabelled", TAUGHT),
    "threshold_schedule": ("--threshold", ("threshold_pruning",)),
    "threshold_scale": ("--threshold-scale", ("threshold_pruning",)),
    "levels": ("--levels", ("quantization",)),
    "level_range": ("--level-range", ("quantization",)),
    "int8_tolerance": ("--int8-tolerance", ("int8",)),
    "quantization_aware": ("--quantization-aware", ("int8",)),
    "methods": ("--methods", ("compress",)),
}
"""By field of CompressionOptions: its option, and the trainers and methods that use it. What is not here, all use."""


def add_compression_options(group: argparse._ArgumentGroup) -> None:
    """Add them; each is None where it is not given."""
    group.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="the model (default: of the same dataset and plans)"
    )
    group.add_argument("--compress-stages", dest="stages", nargs="+", metavar="STAGE", help="only these (default: all)")
    group.add_argument(
        "--prune", dest="pruning_schedule", type=_schedule, metavar="START,STEP,END", help="per cent (5,5,25)"
    )
    group.add_argument("--prune-criterion", dest="criterion", choices=("magnitude", "scale", "taylor"), help="ranking")
    group.add_argument(
        "--prune-allocation",
        dest="allocation",
        choices=("layer", "global"),
        help="the ratio holds per layer or overall",
    )
    group.add_argument("--granularity", type=int, metavar="N", help="widths become multiples of it (8; the thesis: 1)")
    group.add_argument(
        "--target-latency", type=_seconds_bound, metavar="BOUND", help="per patch, in floats: 0.5x, 80ms, 0.1s"
    )
    group.add_argument(
        "--target-size", dest="target_bytes", type=_bytes_bound, metavar="BOUND", help="of a network: 0.3x, 1M, 500K"
    )
    group.add_argument("--max-dice-drop", type=float, metavar="DICE", help="a step that costs more is not taken")
    group.add_argument("--distil", type=float, metavar="SHARE", help="the full model's share in the loss (0.5)")
    group.add_argument("--distil-temperature", dest="temperature", type=float, metavar="T", help="of its answers (2)")
    group.add_argument("--distil-features", type=float, metavar="WEIGHT", help="of its attention maps (0)")
    group.add_argument("--unlabelled", type=Path, metavar="FOLDER", help="images that it teaches on, too")
    group.add_argument(
        "--threshold",
        dest="threshold_schedule",
        type=_three,
        metavar="START,STEP,END",
        help="below which weights become zero (0.1,0.05,0.4)",
    )
    group.add_argument(
        "--threshold-scale", choices=THRESHOLD_SCALES, help="in deviations of each layer's weights, or absolute (layer)"
    )
    group.add_argument("--levels", type=int, metavar="K", help="that quantised weights have (31)")
    group.add_argument("--level-range", type=float, metavar="R", help="they lie in -R to R (the best per channel)")
    group.add_argument("--int8-tolerance", type=float, metavar="DICE", help="that int8 may cost to be used (0.005)")
    group.add_argument(
        "--quantization-aware",
        action="store_true",
        default=None,
        help="of int8: train on first, with weights and maps rounded to eight bits",
    )
    group.add_argument("--methods", nargs="+", choices=EVERY_METHOD, help="of compress (all but int8)")


def compression_options(arguments: argparse.Namespace) -> CompressionOptions | None:
    """What was given of them, the rest as usual; None where nothing was. OptionError for a value out of range."""
    given: dict[str, Any] = {
        field.name: getattr(arguments, field.name)
        for field in fields(CompressionOptions)
        if getattr(arguments, field.name) is not None
    }
    for name in {"stages", "methods"} & given.keys():
        given[name] = tuple(given[name])
    return CompressionOptions(**given) if given else None


def checked_for(trainer: str, options: CompressionOptions | None) -> CompressionOptions | None:
    """The options of a trainer's job; OptionError where it is given some that neither it nor its methods use."""
    from trainers import COMPRESSING, TRAINERS

    if trainer in COMPRESSING:
        options = options or CompressionOptions()
        _check_used(trainer, options)
        return options
    if options is not None and trainer in TRAINERS:
        raise OptionError(
            f"The trainer {trainer} makes no model smaller: it has no use for --from and the options of compression.",
            f"Add --trainer {COMPRESSING[0]}, or leave them out.",
        )
    return options


def _check_used(trainer: str, options: CompressionOptions) -> None:
    """Raise OptionError for an option of a method that is not made: it would do nothing."""
    made = {trainer, *(options.methods if trainer == "compress" else ())}
    if "int8" in made and options.quantization_aware:
        made.add(LEARNT_INT8)
    for name in given_options(options):
        option, users = USED_BY.get(name, ("", (trainer,)))
        if made.isdisjoint(users):
            raise OptionError(
                f"{option} is of {' or '.join(users)}, which is not made here.",
                "Leave it out, or make that by --trainer or, with --trainer compress, --methods.",
            )


def _schedule(text: str) -> tuple[float, ...]:
    values = app.numbers(text)
    if len(values) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not START,STEP,END such as 5,5,25")
    return tuple(round(value / 100, 6) for value in values)


def _three(text: str) -> tuple[float, ...]:
    values = app.numbers(text)
    if len(values) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not START,STEP,END such as 0.1,0.05,0.4")
    return values


def _seconds_bound(text: str) -> Bound:
    return _bound(text, SECONDS, "0.5x, 80ms or 0.1s")


def _bytes_bound(text: str) -> Bound:
    return _bound(text, BYTES, "0.3x, 1M or 500K")


def _bound(text: str, units: dict[str, float], examples: str) -> Bound:
    try:
        return Bound.parse(text, units)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a bound such as {examples}") from error
