"""The int8 networks of a step that is made, held against another tolerance: nothing is trained or calibrated again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from autoseg.inference.calibration import INT8, Int8Record, read_int8_record, write_int8_record
from autoseg.inference.model_files import EXPERIENCE, WEIGHTS
from trainers.compressed_folder import STEP_RECORD

LOGGER = logging.getLogger(__name__)
PREDICTED = ("validation", "unseen_on_*", "boxes")
"""Folders with what networks said of held-out cases."""
LEARNT = ("summary.json", EXPERIENCE)
"""Files that were made of that."""


def changes_acceptance(step: Path, tolerance: float) -> bool:
    """Whether with a tolerance a network in int8 would be accepted that was not, or the other way round.

    step: the folder of one; False without int8 in it.
    """
    return any(record.accepted != replace(record, tolerance=tolerance).accepted for _, _, record in _records(step))


def accept_by(step: Path, tolerance: float) -> None:
    """Put a tolerance into the records of all networks in int8.

    Where that changes which ones are accepted, what they predicted goes, with the mark that the step is finished: the
    networks stay. The records come last: a killed run finds again what changes.
    """
    if changes_acceptance(step, tolerance):
        (step / STEP_RECORD).unlink(missing_ok=True)
        _forget_predictions(step)
    for weights, organ, record in _records(step):
        now = replace(record, tolerance=tolerance)
        if now != record:
            write_int8_record(weights, now, organ)
        if now.accepted != record.accepted:
            answer = "accepted" if now.accepted else "refused"
            LOGGER.info("%s: int8 is %s now, by --int8-tolerance %g", weights.parent, answer, tolerance)


def _records(step: Path) -> Iterator[tuple[Path, str | None, Int8Record]]:
    """The files of weights, the organs they are for where organs share them, and the records of their int8 forms."""
    for weights in sorted(step.rglob(WEIGHTS)):
        for path in sorted(weights.parent.glob(f"{INT8}*.json")):
            organ = path.stem.removeprefix(INT8).removeprefix("_") or None
            record = read_int8_record(weights, organ)
            if record is not None:
                yield weights, organ, record


def _forget_predictions(step: Path) -> None:
    """Of all stages: what one says, those after it see."""
    for name in PREDICTED:
        for folder in list(step.rglob(name)):
            shutil.rmtree(folder)
    for name in LEARNT:
        for path in list(step.rglob(name)):
            path.unlink()
