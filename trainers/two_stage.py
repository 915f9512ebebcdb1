"""Two stages: a locator of all organs, then a network for each organ, or left and right pair, in its own regions.

Or one network that all of them share. The organs' networks learn from the true boxes and from those that a locator
found in cases that it had not seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from autoseg.dataset import Case
from autoseg.durations import duration
from autoseg.errors import OptionError
from autoseg.files import checksum
from autoseg.inference.calibration import find_int8
from autoseg.inference.chain import Wanted
from autoseg.inference.model_files import EXPERIENCE, WEIGHTS
from autoseg.inference.options import PredictionOptions
from autoseg.inference.predictor import StagePredictor
from autoseg.inference.two_stage import TwoStageChain, make_predictor, organ_sizes_mm
from autoseg.io import Volume, read_geometry, read_image, read_labels
from autoseg.locating.boxes import CaseBoxes, find_boxes, locate, read_boxes, write_boxes
from autoseg.locating.experience import Experience, read_experience, write_experience
from autoseg.networks.storage import load_network
from autoseg.plans import StagePlan
from autoseg.preprocessing.region import RegionCutter
from trainers.finishing import finish
from trainers.job import Job, TrainingResult, first_of_each_network
from trainers.regions import RegionMaker, learned, stored_regions
from trainers.stage import StageTraining, organ_training
from trainers.unseen import Unseen
from trainers.validating import HeldOut, Validation, further_volumes, prediction_file
from trainers.whole import HeldOutVolumes, held_out_predictor

LOGGER = logging.getLogger(__name__)


class TwoStageTrainer:
    """Trains the locator on folds, then every organ's network, fold by fold, and scores the whole."""

    def __init__(self, job: Job) -> None:
        if len(job.stages) < 2 or any((stage.region is None) != (stage is job.stages[0]) for stage in job.stages):
            raise OptionError(
                f"{job.configuration} has no stages that segment organs.", "Leave out --trainer two_stage."
            )
        self.job = job
        self.unseen = Unseen(job)
        self.locate, self.organ_stages = job.stages[0], job.stages[1:]

    def trainings(self) -> dict[str, int]:
        """How many trainings run() takes, by stage; those that are finished are counted too."""
        organs = {stage.name: self.job.fold_count for stage in self._networks}
        return {self.locate.name: len(self.unseen.folder_names)} | organs

    @property
    def _networks(self) -> list[StagePlan]:
        """The organs' stages, of those that share a network only the first."""
        return first_of_each_network(self.organ_stages)

    def run(self) -> TrainingResult:
        """Train what is not finished yet."""
        self.job.begin()
        self._announce()
        boxes = self._locate()
        known = learned(self.job, list(boxes.values()))
        makers = {stage.name: self._prepared_regions(stage, boxes, known) for stage in self.organ_stages}
        dice = {}
        for name in self.job.fold_names:
            dice[name] = self._run_fold(name, boxes, makers)
        return finish(self.job, dice)

    def _announce(self) -> None:
        """Say how long every stage will take, before the first begins."""
        locate = StageTraining(self.job, self.locate)
        LOGGER.info(locate.announcement(self.unseen.left(locate)))
        folds = len(self.job.fold_names)
        for stage in self._networks:
            LOGGER.info(StageTraining(self.job, stage).announcement(folds))
        seconds = sum(StageTraining(self.job, stage).settings.budget_seconds or 0 for stage in self._networks)
        if seconds and len(self._networks) > 1:
            LOGGER.info("All organs together: %s per fold, %s in all.", duration(seconds), duration(folds * seconds))

    def _locate(self) -> dict[str, CaseBoxes]:
        """Train the locator so that every case has boxes from a network that has not seen it."""
        folder = self.job.stage_folder(self.locate) / "boxes"
        found = {}
        for validation in self.unseen.predict(StageTraining(self.job, self.locate)):
            network = checksum(validation.task.model_file)
            for case_id in validation.task.cases.validation:
                path = folder / f"{case_id}.json"
                if not path.exists() or read_boxes(path).made_by != network:
                    write_boxes(path, self._boxes(self.job.dataset.case(case_id), validation, network))
                found[case_id] = read_boxes(path)
        return found

    def _boxes(self, case: Case, validation: Validation, network: str) -> CaseBoxes:
        assert case.label is not None
        meaning = self.job.dataset.labels
        truth, predicted = read_labels(case.label), read_labels(validation.prediction_file(case.id))
        sizes = organ_sizes_mm(self.organ_stages, self.job.plans)
        located = locate(predicted.array, meaning, truth.geometry, sizes).boxes
        return CaseBoxes(truth.geometry, find_boxes(truth.array, meaning), located, case.not_contoured, network)

    def _prepared_regions(self, stage: StagePlan, boxes: Mapping[str, CaseBoxes], known: Experience) -> RegionMaker:
        from tqdm import tqdm

        job = self.job
        maker = RegionMaker(job.dataset, job.plans, stage, boxes, known, stored_regions(job.stage_folder(stage)))
        for case in tqdm(job.dataset.cases, f"preparing {stage.name}", unit="case", disable=None):
            maker.prepare(case)
        return maker

    def _run_fold(self, name: str, boxes: Mapping[str, CaseBoxes], makers: Mapping[str, RegionMaker]) -> float | None:
        folder, cases = self.job.folder / f"fold_{name}", self.job.fold(name)
        path = folder / EXPERIENCE
        experience = (
            read_experience(path) if path.exists() else learned(self.job, [boxes[case] for case in cases.train])
        )
        for stage in self._networks:
            sharing = [makers[other.name] for other in self.job.plans.sharing(stage)]
            training, regions = organ_training(self.job, sharing, cases, experience)
            training.run_cases(regions, training.folder(name))
        write_experience(path, experience)
        self._tell_recall(name, experience)
        held_out = HeldOut(self.job.dataset, f"{self.job.dataset.name} fold_{name}", cases.validation, folder)
        return held_out.run(lambda: self._predict(name, experience, len(cases.validation))).mean_dice

    def _tell_recall(self, name: str, experience: Experience) -> None:
        known = experience.organs.items()
        told = ", ".join(f"{organ} {one.found} of {one.cases} ({one.held} whole)" for organ, one in known)
        LOGGER.info("fold %s, organs that the locator found in cases it had not seen: %s", name, told)

    def _predict(self, name: str, experience: Experience, volumes: int) -> Callable[[str], Volume]:
        """Predicts so many held-out cases by the organs' networks of a fold, around what its locator found."""
        chain = TwoStageChain(
            self._predictor(self.locate, name, volumes),
            [self._predictor(stage, name, volumes) for stage in self.organ_stages],
            self.job.plans,
            self.job.dataset.labels,
            experience,
        )

        def predict(case_id: str) -> Volume:
            case = self.job.dataset.case(case_id)
            place = self.job.stage_folder(self.locate) / f"fold_{name}"
            located = read_labels(prediction_file(place, case_id, self.job.dataset)).array
            cutter = RegionCutter(read_image(case.images), self.job.plans, case_id=case_id)
            labels = chain.segment(located, cutter, Wanted()).labels
            assert labels is not None
            return Volume(labels, read_geometry(case.images[0]))

        return predict

    def _predictor(self, stage: StagePlan, fold: str, volumes: int) -> StagePredictor:
        settings = StageTraining(self.job, stage).settings
        path = self.job.stage_folder(stage) / f"fold_{fold}" / WEIGHTS
        network = load_network(path, device=settings.device, organ=stage.name)
        make = partial(make_predictor, plans=self.job.plans, stage=stage, labels=self.job.dataset.labels)
        count = HeldOutVolumes(volumes, further_volumes(settings, share=stage.training.budget_share))
        int8 = find_int8([path], organ=stage.shared_as)
        return held_out_predictor(make, network, PredictionOptions(device=settings.device), count, int8)
