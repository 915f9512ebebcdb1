"""Predicting the held-out cases of a training whole, as a user would, and scoring them on their own grids."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from autoseg.compression.quantization import bake
from autoseg.dataset import Dataset
from autoseg.evaluation import ClassScores, evaluate_case, summarize
from autoseg.geometry import Geometry
from autoseg.inference.backends.probe import Calibrated
from autoseg.inference.options import PredictionOptions
from autoseg.inference.predictor import StagePredictor
from autoseg.io import Volume, read_labels
from autoseg.networks.shared import SharedNetwork
from autoseg.plans import StagePlan
from autoseg.preprocessing.restore import LabelRestorer

if TYPE_CHECKING:
    from torch import nn

    from trainers.fitting import FittingTask


@dataclass(frozen=True)
class WholeCases:
    """The held-out cases of a task, to be predicted on a device. Called with a network, gives its Dice by class."""

    task: FittingTask
    device: str

    def __call__(self, network: nn.Module) -> dict[str, float | None]:
        """The mean over cases; None for a class that has no Dice in any. The network is left as it is."""
        predictor = self.predictor(copy.deepcopy(network), backend="torch")
        dataset, names = self.task.job.dataset, self.task.cases.validation
        cases = {name: score_case(dataset, name, self.predict(predictor, name)) for name in names}
        return {name: found.means["dice"].mean for name, found in summarize(cases).classes.items()}

    def predictor(
        self, network: nn.Module, *, backend: str = "auto", further_volumes: int = 0, int8: Sequence[Calibrated] = ()
    ) -> StagePredictor:
        """A network, ready to predict the prepared cases of its stage.

        backend: torch needs no time to get ready. further_volumes: that it will predict besides, see StagePredictor.
        int8: its form in int8, see held_out_predictor.
        """
        job, options = self.task.job, PredictionOptions(device=self.device, backend=backend)
        volumes = HeldOutVolumes(len(self.task.cases.validation), further_volumes)
        make = partial(StagePredictor, plans=job.plans, stage=self.task.stage, labels=job.dataset.labels)
        return held_out_predictor(make, network, options, volumes, int8)

    def predict(self, predictor: StagePredictor, case_id: str) -> Volume:
        """The labels of a prepared case on its own grid."""
        store, previous = self.task.store, self.task.previous
        record, image = store.record(case_id), np.asarray(store.image(case_id))
        restorer = LabelRestorer(record, self.task.job.dataset.labels, order=predictor.order(image.shape[1:]))
        predictor.stream(image, restorer, None if previous is None else np.asarray(previous.read(case_id)))
        return Volume(restorer.restored, record.geometry)


@dataclass(frozen=True)
class HeldOutVolumes:
    """How many volumes a network predicts. further: besides the held-out ones; see validating.further_volumes."""

    held_out: int
    further: int = 0


def held_out_predictor(
    make: Callable[..., StagePredictor],
    network: nn.Module,
    options: PredictionOptions,
    volumes: HeldOutVolumes,
    int8: Sequence[Calibrated] = (),
) -> StagePredictor:
    """A network, ready to predict held-out cases. make: of a StagePredictor, given networks, options, volumes and int8.

    int8: its form in int8, which then computes; whether that is fastest is measured for the further volumes.
    """
    further = volumes.further if options.device == "cpu" else 0  # elsewhere nothing is measured and remembered
    make = partial(make, volumes=volumes.held_out + further, int8=int8)
    if int8 and further:
        make([copy.deepcopy(network)], options=options)  # for what it chooses, which is remembered
    return make([network], options=replace(options, device="cpu", precision="int8") if int8 else options)


@dataclass(frozen=True)
class WholeRegions:
    """The held-out regions of a task, to be predicted on a device. Called with a network, gives its Dice by stage.

    Regions are scored on the grid that they were prepared on; those of a network that stages share, stage by stage and
    without the rounding of maps, where it learns that.
    """

    task: FittingTask
    device: str

    def __call__(self, network: nn.Module) -> dict[str, float | None]:
        """The mean over regions; None for a stage that has a Dice in none. The network is left as it is."""
        stages = self.task.job.plans.sharing(self.task.stage)
        return {stage.name: self._mean_dice(network, stage, number) for number, stage in enumerate(stages)}

    def _mean_dice(self, network: nn.Module, stage: StagePlan, number: int) -> float | None:
        regions, labels = self.task.regions or {}, self.task.job.dataset.labels
        is_shared = isinstance(network, SharedNetwork)
        names = [name for name in self.task.cases.validation if not is_shared or regions[name].organ == number]
        if not names:
            return None
        own: nn.Module = copy.deepcopy(network)
        if isinstance(own, SharedNetwork):
            bake(own)
            own = own.of_organ(stage.name)
        options = PredictionOptions(device=self.device, backend="torch")
        predictor = StagePredictor([own], self.task.job.plans, stage, labels, options, volumes=len(names))
        return summarize({name: self._scores(predictor, name) for name in names}).mean_dice

    def _scores(self, predictor: StagePredictor, name: str) -> dict[str, ClassScores]:
        store, labels = self.task.store, self.task.job.dataset.labels
        found = labels.decode(predictor.logits(np.asarray(store.image(name))))
        record = store.record(name)
        grid = Geometry(record.prepared_shape, record.spacing_mm)
        return evaluate_case(found, np.asarray(store.labels(name)), labels, grid, surface=False)


def score_case(dataset: Dataset, case_id: str, predicted: Volume) -> dict[str, ClassScores]:
    """Scores of a case on its own grid, without surfaces."""
    case = dataset.case(case_id)
    assert case.label is not None
    reference = read_labels(case.label)
    return evaluate_case(
        predicted.array,
        reference.array,
        dataset.labels,
        reference.geometry,
        not_contoured=case.not_contoured,
        surface=False,
    )
