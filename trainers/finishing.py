"""What comes after the folds: postprocessing chosen on held-out cases, and the result."""

from __future__ import annotations

import logging
from pathlib import Path

from autoseg.postprocessing import HeldOutCase, chosen_rules
from autoseg.runtime import usable_cores
from trainers.job import Job, TrainingResult

LOGGER = logging.getLogger(__name__)


def finish(job: Job, fold_dice: dict[str, float | None]) -> TrainingResult:
    """Choose postprocessing on the held-out cases of every finished fold, and put the result together."""
    cases = [
        case for summary in sorted(job.folder.glob("fold_*/summary.json")) for case in _held_out(job, summary.parent)
    ]
    if cases:
        _choose(job, cases)
    return TrainingResult(job.folder, fold_dice)


def _choose(job: Job, cases: list[HeldOutCase]) -> None:
    """Write postprocessing.json, unless it was chosen on these very cases."""
    from tqdm import tqdm

    with tqdm(desc="choosing postprocessing", unit="step", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path, workers = job.folder / "postprocessing.json", job.options.threads or usable_cores()
        chosen_rules(path, cases, job.dataset.labels, workers=workers, progress=show)


def _held_out(job: Job, fold_folder: Path) -> list[HeldOutCase]:
    """Paths of predicted and true labels; they are read one case at a time."""
    found = []
    for path in sorted((fold_folder / "validation").glob(f"*{job.dataset.file_ending}")):
        case = job.dataset.case(path.name.removesuffix(job.dataset.file_ending))
        assert case.label is not None
        found.append(HeldOutCase(path, case.label, case.not_contoured))
    return found
