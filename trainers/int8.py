"""A finished model in int8: calibrated on patches of its training cases, accepted by the Dice of its held-out cases.

With --quantization-aware it is trained on before, and learns to bear the rounding.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoseg.compression.int8 import PATCHES, answer_to_phantom, calibrate, check_installed, halved_grids
from autoseg.compression.options import CompressionOptions
from autoseg.compression.quantization import QuantizationOptions, bake, quantize
from autoseg.compression.rounded_maps import WEIGHT_LEVELS, round_maps
from autoseg.data.folds import Fold
from autoseg.evaluation import ClassScores, evaluate_case, summarize
from autoseg.files import checksum
from autoseg.geometry import Geometry
from autoseg.inference.backends.probe import Calibrated
from autoseg.inference.calibration import Int8Record, int8_files, write_int8_record
from autoseg.inference.predictor import StagePredictor
from autoseg.networks.storage import load_network, load_whole_network, save_network, stored_grids
from autoseg.plans import StagePlan
from autoseg.training.options import TrainingSettings
from trainers.compressed_folder import take_over
from trainers.compressing import Chain
from trainers.fitting import Additions, FittingTask, memory_format, trained, training_patches
from trainers.job import Job, TrainingResult
from trainers.making import Step
from trainers.source import source_of
from trainers.teaching import teacher_of
from trainers.usual import usual_trainer
from trainers.whole import WholeCases, score_case

LOGGER = logging.getLogger(__name__)
TRAINED = "quantization_aware.safetensors"
"""The trained network, while it is calibrated. Its checkpoint stays until the end: a killed run gets it from there."""


@dataclass(frozen=True)
class Int8Step:
    """The one step; see making.Step. Weights stay those of the source, unless they are to learn what rounding does."""

    options: CompressionOptions

    @property
    def name(self) -> str:
        """int8."""
        return "int8"

    def stage(self, stage: StagePlan) -> StagePlan:
        """As it is."""
        return stage

    def description(self, stage: str) -> Any:
        """How many patches, and whether it is trained; not what Dice may be lost, see acceptance.accept_by."""
        trained_too = ["quantization-aware"] if self.options.quantization_aware else []
        return [PATCHES, *trained_too]

    def make(self, task: FittingTask, settings: TrainingSettings, source: Path, teacher: Path) -> None:
        """Calibrate, measure, record, for each organ of a shared network on its own; the weights come last."""
        aware = self.options.quantization_aware
        weights = self._trained(task, settings, source, teacher) if aware else source
        for part in parts_of(task):
            self._convert(part, settings, source, weights)
        if aware:
            weights.replace(task.model_file)
            task.checkpoint.unlink(missing_ok=True)
        else:
            take_over(source, task.model_file)

    def _trained(self, task: FittingTask, settings: TrainingSettings, source: Path, teacher: Path) -> Path:
        """Train with the rounding of int8; weights that lie on levels already keep those, and so their small file."""
        torch.manual_seed(settings.seed)
        network = load_whole_network(source, device=settings.device)
        quantize(network, QuantizationOptions(WEIGHT_LEVELS), halved_grids(network) | stored_grids(source))
        patches = plain_patches(task, settings)
        round_maps(network, (patch.to(settings.device, memory_format=memory_format(task.stage)) for patch in patches))
        result = trained(task, settings, network, Additions((), teacher_of(teacher, task, settings, self.options)))
        save_network(task.folder / TRAINED, result, bake(result))
        return task.folder / TRAINED

    def _convert(self, task: FittingTask, settings: TrainingSettings, source: Path, weights: Path) -> None:
        organ, patch_size = task.stage.shared_as, task.stage.patch_size
        model, values = int8_files(task.model_file, organ)
        calibrate(load_network(weights, organ=organ), calibration_patches(task, settings), patch_size, model)
        answer = answer_to_phantom(load_network(weights, organ=organ), model, patch_size)
        before = mean_dice(task, source)
        after = mean_dice(task, weights, Calibrated(str(model), answer))
        record = Int8Record(
            weights=checksum(weights),
            model=checksum(model),
            values=checksum(values),
            patches=PATCHES,
            dice_before=before,
            dice_after=after,
            tolerance=self.options.int8_tolerance,
            answer=answer,
        )
        write_int8_record(task.model_file, record, organ)
        _tell(task.title, record, aware=weights != source)


def _tell(title: str, record: Int8Record, *, aware: bool) -> None:
    if record.dice_before is None or record.dice_after is None:
        LOGGER.warning("%s: int8 is not used: there is no validation case to measure its Dice on", title)
        return
    said = f"{title}: mean Dice {record.dice_before:.4f}, in int8 {record.dice_after:.4f}"
    if record.accepted:
        LOGGER.info("%s: accepted", said)
    else:
        left = "; the network that was trained for it stays, in floats" if aware else ""
        LOGGER.warning("%s: refused, more than --int8-tolerance %g is lost%s", said, record.tolerance, left)


def parts_of(task: FittingTask) -> Iterator[FittingTask]:
    """The task of each of the stages that share its network, with the regions of its organs; else the task itself."""
    if task.stage.shared_as is None:
        yield task
        return
    regions = task.regions or {}
    for number, stage in enumerate(task.job.plans.sharing(task.stage)):
        own = {name for name, region in regions.items() if region.organ == number}
        train, validation = (
            tuple(name for name in names if name in own) for names in (task.cases.train, task.cases.validation)
        )
        yield replace(task, title=f"{task.title} {stage.name}", stage=stage, cases=Fold(train, validation))


def calibration_patches(task: FittingTask, settings: TrainingSettings) -> Iterator[torch.Tensor]:
    """As plain_patches, for the network of one organ: without the channel that tells the organ to a shared one."""
    return (patch[:, : task.stage.network.in_channels] for patch in plain_patches(task, settings))


def plain_patches(task: FittingTask, settings: TrainingSettings) -> Iterator[torch.Tensor]:
    """PATCHES patches (1, C, *patch) of the training cases, as they are: nothing is turned or made brighter."""
    source = training_patches(task, replace(settings, augmentation=0.0, shift_voxels=0))
    left, index = PATCHES, 0
    while left:
        images = source.batch(index).image[:left]
        yield from images.split(1)
        left, index = left - len(images), index + 1


def mean_dice(task: FittingTask, weights: Path, int8: Calibrated | None = None) -> float | None:
    """The mean Dice over the validation cases of a task, predicted whole; None without any."""
    if not task.cases.validation:
        return None
    whole = WholeCases(task, "cpu")
    predictor = whole.predictor(load_network(weights, organ=task.stage.shared_as), int8=(int8,) if int8 else ())
    score = score_region if task.regions is not None else _score_case
    return summarize({name: score(task, predictor, name) for name in task.cases.validation}).mean_dice


def _score_case(task: FittingTask, predictor: StagePredictor, case_id: str) -> dict[str, ClassScores]:
    return score_case(task.job.dataset, case_id, WholeCases(task, "cpu").predict(predictor, case_id))


def score_region(task: FittingTask, predictor: StagePredictor, case_id: str) -> dict[str, ClassScores]:
    """Scores of an organ within its region, on the prepared grid: a region has no file of its own."""
    record, labels = task.store.record(case_id), task.job.dataset.labels
    found = labels.decode(predictor.logits(np.array(task.store.image(case_id))))
    geometry = Geometry(record.prepared_shape, record.spacing_mm)
    reference = np.asarray(task.store.labels(case_id))
    return evaluate_case(found, reference, labels, geometry, not_contoured=record.not_contoured, surface=False)


class Int8Trainer:
    """Gives a finished model of any configuration a form in int8, which prediction takes where it is fastest."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.source = source_of(job)

    @cached_property
    def chain(self) -> Chain:
        """The steps' surroundings; reads the plans of the model that is compressed."""
        return Chain(self.job, "int8", self.source)

    def trainings(self) -> dict[str, int]:
        """How many networks are brought to int8, at most, by stage."""
        return usual_trainer(self.chain.job).trainings()

    def run(self) -> TrainingResult:
        """Make what is not made yet."""
        check_installed()
        return self.chain.run([int8_steps(self.chain)])


def int8_steps(chain: Chain) -> list[Step]:
    """The step of a chain."""
    return [Int8Step(chain.compression)]
