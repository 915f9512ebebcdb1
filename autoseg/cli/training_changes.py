"""The options that change how a plan is trained: planning writes them down, training overrides with them."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING

from autoseg.cli import app

if TYPE_CHECKING:
    from autoseg.training.changes import TrainingChanges


def add_training_changes(group: argparse._ArgumentGroup) -> None:
    """Add them; each is None where it is not given."""
    group.add_argument("--loss", help="dice, ce, focal, tversky, or a weighted sum such as dice+focal or 0.5*dice+ce")
    group.add_argument("--optimizer", help="sgd, adamw, muon or novograd")
    group.add_argument("--lr", dest="learning_rate", type=float, metavar="RATE", help="peak learning rate")
    group.add_argument("--schedule", help="polynomial, cosine, cosine_restarts or constant")
    group.add_argument(
        "--first-cycle", dest="first_cycle_epochs", type=int, metavar="EPOCHS", help="of cosine_restarts (usually 5)"
    )
    group.add_argument("--cycle-growth", type=int, metavar="N", help="each next cycle is so many times longer (3)")
    group.add_argument("--augmentation", type=float, metavar="STRENGTH", help="0 none, 1 the usual")
    group.add_argument(
        "--rotation", dest="rotation_degrees", type=float, metavar="DEGREES", help="at most (default: by the patch)"
    )
    group.add_argument("--scales", type=app.numbers, metavar="LOW,HIGH", help="of augmentation (usually 0.7,1.4)")
    group.add_argument("--shift", dest="shift_voxels", type=int, metavar="VOXELS", help="of patches, at most (0)")
    group.add_argument(
        "--foreground-fraction", type=float, metavar="SHARE", help="of patches centred on a class (usually 0.5)"
    )
    group.add_argument("--crops-per-case", type=int, metavar="N", help="patches in a row from one case (1)")
    group.add_argument(
        "--validate-whole",
        dest="whole_validation_epochs",
        type=int,
        metavar="EPOCHS",
        help="predict the validation cases whole after each so many epochs (0: only at the end)",
    )
    group.add_argument(
        "--cache",
        dest="cached",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="keep the prepared cases in memory, as far as it reaches",
    )


def training_changes(arguments: argparse.Namespace) -> TrainingChanges:
    """What was given of them; OptionError for a value outside its range, or a name that does not exist."""
    from autoseg.training.changes import TrainingChanges

    changes = TrainingChanges(**{field.name: getattr(arguments, field.name) for field in fields(TrainingChanges)})
    changes.check_names()
    return changes
