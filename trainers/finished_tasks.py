"""The task that a finished network was fitted to, as its training left it in the model folder."""

from __future__ import annotations

from autoseg.errors import FileError
from autoseg.inference.model_files import EXPERIENCE
from autoseg.locating.boxes import CaseBoxes, read_boxes
from autoseg.locating.experience import read_experience
from autoseg.plans import StagePlan
from autoseg.preprocessing.store import PredictedLabels
from trainers.fitting import FittingTask
from trainers.job import Job
from trainers.regions import RegionMaker, learned, stored_regions
from trainers.stage import StageTraining, organ_training

REMEDY = "Compress the model where it was trained, or without --prune-allocation global --prune-criterion taylor."


def finished_task(model: Job, stage: StagePlan, fold: str) -> FittingTask:
    """Of a stage's network, and of those that share it, with the cases that it learned from.

    model: a job with the folder of the finished model. Raises FileError where the folder was copied without what the
    stages before left there for this one: their labels, or boxes.
    """
    if stage.region is not None:
        return _of_organs(model, stage, fold)
    previous = None
    if stage.previous_stage is not None:
        previous = _previous(model, stage, fold)
    training = StageTraining(model, stage, previous)
    return training.task(model.fold(fold), training.folder(fold))


def _previous(model: Job, stage: StagePlan, fold: str) -> PredictedLabels:
    before = next(earlier for earlier in model.stages if earlier.name == stage.previous_stage)
    labels = PredictedLabels(model.stage_folder(before) / f"unseen_on_{stage.grid}")
    for case_id in model.fold(fold).train:
        if labels.made_by(case_id) is None:
            raise FileError(labels.folder, f"has no labels of {case_id} by {before.name}.", REMEDY)
    return labels


def _of_organs(model: Job, stage: StagePlan, fold: str) -> FittingTask:
    boxes = _boxes(model)
    known, store = learned(model, list(boxes.values())), stored_regions(model.stage_folder(stage))
    makers = [RegionMaker(model.dataset, model.plans, one, boxes, known, store) for one in model.plans.sharing(stage)]
    for case in model.dataset.cases:
        for maker in makers:
            maker.prepare(case)
    experience = read_experience(model.folder / f"fold_{fold}" / EXPERIENCE)
    training, cases = organ_training(model, makers, model.fold(fold), experience)
    return training.task(cases, training.folder(fold))


def _boxes(model: Job) -> dict[str, CaseBoxes]:
    folder = model.stage_folder(model.stages[0]) / "boxes"
    files = {case.id: folder / f"{case.id}.json" for case in model.dataset.cases}
    for case_id, path in files.items():
        if not path.exists():
            raise FileError(folder, f"does not tell where the organs of {case_id} are.", REMEDY)
    return {case_id: read_boxes(path) for case_id, path in files.items()}
