"""The finished model that a trainer starts from: where it lies, and which of its networks are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from autoseg.errors import FileError, OptionError
from autoseg.inference.model_files import WEIGHTS, finished_folds
from autoseg.plans import Plans, read_plans
from trainers.job import ALL_CASES, REST, Job, first_of_each_network
from trainers.provenance import decisive
from trainers.unseen import Unseen
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


def job_of_source(source: Path, job: Job) -> Job:
    """The job with the networks, and unless told otherwise the folds, of the model that is compressed.

    Raises FileError where the model lacks a network that one of its steps would be made of.
    """
    plans = plans_of(source, job)
    folds = job.options.folds or tuple(finished_folds(source))
    if not folds:
        raise FileError(source, "holds no finished fold.", "Train it first.")
    job = replace(job, plans=plans, options=replace(job.options, folds=folds))
    for choice in _choices(source, job):
        if not missing_networks(source, choice):
            return choice
    remedy = "Train it, or give --folds that the model has."
    if len(job.fold_names) > 1 and set(job.fold_names) <= set(finished_folds(source)):
        remedy = f"These folds were not trained together: compress them one by one, --folds {job.fold_names[0]} first."
    path = missing_networks(source, job)[0]
    raise FileError(path, "does not exist, but is to be compressed.", remedy)


def _choices(source: Path, job: Job) -> Iterator[Job]:
    """The job with the folds of earlier stages that it would train, then with those that the model was trained with.

    One fold of a cross-validated cascade was guided by the networks of all folds, not by two and one for the rest.
    """
    yield job
    first = replace(job, folder=source).stage_folder(job.stages[0])
    known = [str(number) for number in range(len(job.folds))]
    finished = [name for name in known if (first / f"fold_{name}" / WEIGHTS).exists()]
    begun = [path.name.removeprefix(f"{REST}_").split("_") for path in sorted(first.glob(f"{REST}_*"))]
    for folds in (finished, *begun):
        if set(job.fold_names) - {ALL_CASES} <= set(folds) <= set(known):
            yield replace(job, earlier_folds=tuple(folds))


def missing_networks(source: Path, job: Job) -> list[Path]:
    """The files that the model lacks of those that a job's networks are made of, the last stage first."""
    model, unseen = replace(job, folder=source), Unseen(job)
    own, last = [f"fold_{name}" for name in job.fold_names], job.stages[-1]
    files = [
        model.stage_folder(stage) / name / WEIGHTS
        for stage in reversed(first_of_each_network(job.stages))
        for name in (own if stage is last or stage.region is not None else unseen.folder_names)
    ]
    return [path for path in files if not path.exists()]


def plans_of(source: Path, job: Job) -> Plans:
    """The plans of a model that is to be compressed; OptionError where they are of other data than the job's."""
    if not (source / "plans.json").is_file():
        raise FileError(
            source, "is no model folder.", "Give --from RESULTS/DatasetNNN_Name/TRAINER__PLANS__CONFIGURATION."
        )
    plans = read_plans(source / "plans.json")
    if job.configuration not in plans.configurations:
        raise OptionError(
            f"{source} has no {job.configuration}.", f"It is a model of {', '.join(plans.configurations)}."
        )
    model = plans.configuration_stages(job.configuration)
    wanted = {stage.name: stage for stage in job.stages}
    same = [replace(stage, network=wanted[stage.name].network) for stage in model if stage.name in wanted]
    if len(same) < len(wanted) or decisive(plans, same) != decisive(job.plans, job.stages):
        raise OptionError(
            f"{source} was trained with other plans than {job.plans.name!r} are now.",
            "Give --plans-name of the plans that it was trained with, or train it again.",
        )
    return replace(plans, name=job.plans.name)
