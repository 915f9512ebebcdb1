"""The folder of a compressed model: begun anew, and made what the folder of one of its steps is."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from autoseg.compression.report import REPORT, STEPS
from autoseg.errors import OptionError
from autoseg.files import atomic_path, link_file
from autoseg.inference.model_files import EXPERIENCE, WEIGHTS, finished_folds
from trainers.job import Job

STEP_RECORD = "step.json"
MARKS = (WEIGHTS, EXPERIENCE)
"""Files by which a fold counts as finished."""


def check_restart(job: Job) -> None:
    """Raise OptionError where --restart would remove finished folds that the job does not make again."""
    if not job.options.restart:
        return
    folders = (job.folder, *job.folder.glob(f"{STEPS}/*"))
    kept = sorted({name for folder in folders for name in finished_folds(folder)} - {*job.fold_names})
    if kept:
        raise OptionError(
            f"--restart would also remove fold {', '.join(kept)} of {job.folder}, with all steps.",
            f"Compress all of them again, --restart --folds {' '.join([*job.fold_names, *kept])}, or move the folder "
            "away.",
        )


def begin_folder(job: Job) -> None:
    """With --restart, remove all steps and what became of them; see check_restart."""
    check_restart(job)
    if job.options.restart:
        shutil.rmtree(job.folder, ignore_errors=True)


def promote(step: Path, model: Path) -> None:
    """Make the model what the folder of a step is: its files get a second name there, what it does not have goes.

    Killed at any moment, it leaves the model as it was, whole, or without a fold that counts as finished.
    """
    sources = {model / path.relative_to(step): path for path in sorted(step.rglob("*")) if _is_of_model(path)}
    before = [path for place in (*model.glob("fold_*"), model / "stages") for path in place.rglob("*")]
    before = [path for path in before if path.is_file()]
    if set(before) <= set(sources) and all(_is_same(source, path) for path, source in sources.items()):
        return
    for path in sorted(before, key=lambda path: path.name not in MARKS):
        if path.name in MARKS or path not in sources:
            path.unlink()
    for path in sorted(sources, key=lambda path: (path.name in MARKS, path.parent.parent == model)):
        take_over(sources[path], path)


def _is_of_model(path: Path) -> bool:
    return path.is_file() and path.name not in (STEP_RECORD, REPORT)


def _is_same(source: Path, path: Path) -> bool:
    return path.exists() and (path.samefile(source) or filecmp.cmp(source, path, shallow=False))


def take_over(source: Path, path: Path) -> None:
    """A file under a second name; a copy where the file system cannot."""
    if not link_file(source, path):
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
