"""The finished model that a trainer starts from."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import FileError, OptionError
from trainers.job import Job
from trainers.usual import usual_trainer_name


def source_of(job: Job) -> Path:
    """The folder given by --from, else the usual trainer's model of the same dataset, plans and configuration.

    Raises FileError where there is none, and OptionError where it would be overwritten.
    """
    if job.compression is not None and job.compression.source is not None:
        given = job.compression.source.expanduser().resolve()
        if given.is_relative_to(job.folder.resolve()):
            raise OptionError(
                f"--from {given} lies where the compressed model is to be made.", "Give a model from another folder."
            )
        return given
    trainer = usual_trainer_name(job.stages)
    folder = job.workspace.model(job.dataset.name, trainer, job.plans.name, job.configuration)
    if not (folder / "plans.json").is_file():
        raise FileError(
            folder,
            "does not exist: there is no model to compress.",
            f"Train it with autoseg_train {job.dataset.name} {job.configuration}, or give --from FOLDER.",
        )
    return folder
