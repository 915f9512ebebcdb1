"""The finished model that a trainer starts from: where it lies, and which of its networks are asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from autoseg.compression.report import REPORT, STEPS, CompressionReport
from autoseg.errors import FileError, OptionError
from autoseg.files import checksum, read_artefact
from autoseg.inference.model_files import WEIGHTS, finished_folds
from autoseg.plans import Plans, read_plans
from trainers.job import ALL_CASES, REST, Job, first_of_each_network
from trainers.provenance import decisive
from trainers.unseen import Unseen
from trainers.usual import usual_trainer_name

LOGGER = logging.getLogger(__name__)


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


def uncompressed(source: Path, job: Job) -> Path:
    """The model that compression began with: itself where it is not compressed, else by the reports of compressions.

    source: of a model, or of a step of a compression. job: see job_of_source. Each must lie beside what was made of it,
    with the networks that it had then and all that the job needs, and not where the job makes its model. Where one does
    not, the last one that does is taken, with a warning.
    """
    found, passed = source, [job.folder.resolve()]
    while (report := _report_of(found)) is not None:
        origin = _model_folder(found).parent / report.source
        passed.append(_model_folder(found).resolve())
        is_new = _model_folder(origin).resolve() not in passed
        if not (is_new and _is_as_it_was(origin, report)) or missing_networks(origin, job):
            LOGGER.warning(
                "%s was made out of %s, which is not beside it any more as it was: it is taken for the uncompressed "
                "model, which teaches, and from whose Dice on is counted.",
                found,
                report.source,
            )
            break
        found = origin
    return found


def name_beside(source: Path, folder: Path) -> str:
    """What the report in a model folder calls its source: the path from the folder above both; else its name."""
    above, source = folder.resolve().parent, source.resolve()
    return source.relative_to(above).as_posix() if source.is_relative_to(above) else source.name


def _report_of(model: Path) -> CompressionReport | None:
    path = _model_folder(model) / REPORT
    return read_artefact(CompressionReport, path, remedy="Delete it.") if path.exists() else None


def _model_folder(model: Path) -> Path:
    """Of a model, or of one of its steps."""
    return model.parents[1] if model.parent.name == STEPS else model


def _is_as_it_was(origin: Path, report: CompressionReport) -> bool:
    files = {origin / name: known for name, known in report.made_from.items()}
    return all(path.is_file() and checksum(path) == known for path, known in files.items())


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
