"""A model folder, ready to predict: the networks of every stage and fold, and postprocessing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.errors import GeometryError, OptionError
from autoseg.geometry import Geometry
from autoseg.inference.backends.choice import Choice
from autoseg.inference.backends.network_file import NetworkFile
from autoseg.inference.calibration import find_int8
from autoseg.inference.chain import Chain, Progress, Wanted
from autoseg.inference.cleaning import cleaned
from autoseg.inference.limit import Limit
from autoseg.inference.memory import Source
from autoseg.inference.model_files import ModelFiles, read_model_files
from autoseg.inference.options import PredictionOptions
from autoseg.inference.predictor import StagePredictor
from autoseg.inference.two_stage import TwoStageChain, make_predictor
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.locating.experience import joined, read_experience
from autoseg.plans import Ints, StagePlan
from autoseg.postprocessing import Rule

LOGGER = logging.getLogger(__name__)


class Model:
    """Predicts volumes. Made by load_model; networks stay in memory between calls."""

    def __init__(
        self, files: ModelFiles, chain: Chain, rules: Sequence[Rule] = (), *, memory_bytes: int | None = None
    ) -> None:
        self.files = files
        self.chain = chain
        self.rules = tuple(rules)
        self.memory_bytes = memory_bytes

    @property
    def labels(self) -> Labels:
        """What the predicted values mean."""
        return self.files.labels

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The engine of each stage, and why it was chosen."""
        return tuple(predictor.choice for predictor in self.chain.every_predictor)

    def predict(self, array: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Predict an array as nibabel gives it.

        array: (X, Y, Z), or (C, X, Y, Z) with channels first, in the image's own unit. affine: (4, 4), voxel indices to
        RAS mm. Returns (X, Y, Z) int16 label values on the same grid.
        """
        if array.ndim not in (3, 4):
            raise GeometryError(f"An array needs 3 axes, or 4 with channels first, not the shape {array.shape}.")
        channels = array[None] if array.ndim == 3 else array
        image = np.ascontiguousarray(np.transpose(channels, (0, 3, 2, 1)), dtype=np.float32)
        shape = image.shape[1:]
        volume = Volume(image, Geometry.from_affine((shape[0], shape[1], shape[2]), affine))
        return np.ascontiguousarray(self.predict_volume(volume).array.transpose(2, 1, 0))

    def predict_volume(self, volume: Volume, *, case_id: str = "case", progress: Progress | None = None) -> Volume:
        """Predict a volume (C, Z, Y, X). Returns (Z, Y, X) int16 label values on its grid, postprocessed.

        An organ that a configuration of two stages did not find is told to the log as a warning, with the reason.
        Raises ResourceError where the memory that was given does not suffice.
        """
        self.check_channels(volume)
        source = Source.of(volume)
        limit = Limit.now(self.memory_bytes, [self.chain], held_bytes=source.bytes)
        wanted = limit.wanted([self.chain], source, Wanted(), cleans=bool(self.rules))
        prepared = self.chain.prepare(volume, case_id=case_id)
        output = self.chain.run(prepared, wanted, progress=progress)
        output = cleaned(output, self.rules, [self.chain], self.labels, volume.geometry)
        for organ, reason in output.not_found.items():
            LOGGER.warning("%s: %s was not found: %s", case_id, organ, reason)
        assert output.labels is not None
        return Volume(output.labels, volume.geometry)

    def check_channels(self, volume: Volume) -> None:
        """Raise OptionError where a volume (C, Z, Y, X) has other channels than the model takes."""
        names, found = self.files.channel_names, volume.array.shape[0]
        if found != len(names):
            raise OptionError(
                f"The model takes {len(names)} channel(s) ({', '.join(names)}), but the volume has {found}.",
                "Channels come first: move them with np.moveaxis(array, -1, 0) where nibabel put them last.",
            )


def load_model(
    folder: Path | str,
    *,
    folds: Sequence[str | int] | None = None,
    device: str = "auto",
    flips: str | int | Ints | None = None,
    overlap: float = 0.5,
    precision: str = "auto",
    memory_bytes: int | None = None,
    backend: str = "auto",
    volumes: int = 1,
    postprocessing: bool = True,
) -> Model:
    """Load a results folder for prediction in process.

    folder: the model folder, wherever it was copied. folds: numbers, or "all" for the network trained on all cases;
    None takes every finished one and averages them. volumes: about how many will be predicted: where they are many, the
    engines of this machine are measured first, once. Of the rest see PredictionOptions. Raises FileError where the
    folder lacks a part, saying which.
    """
    options = PredictionOptions(
        overlap=overlap,
        flips=flips,
        precision=precision,
        device=device,
        memory_bytes=memory_bytes,
        backend=backend,
    )
    files = read_model_files(folder, folds=folds)
    return load_networks(files, options, postprocessing=postprocessing, volumes=volumes)


def load_networks(
    files: ModelFiles,
    options: PredictionOptions,
    *,
    postprocessing: bool = True,
    volumes: int = 1,
    choices: Sequence[Choice] = (),
) -> Model:
    """Load the networks that a model folder holds.

    volumes: as in load_model. choices: the engine of each stage, where an earlier run has chosen.
    """
    chosen: Sequence[Choice | None] = choices or [None] * len(files.stages)
    rules = files.rules if postprocessing else ()
    chain = _chain(files, _predictors(files, files.stages, options, volumes, chosen))
    return Model(files, chain, rules, memory_bytes=options.memory_bytes)


def load_earlier_stages(files: ModelFiles, count: int, options: PredictionOptions, *, volumes: int = 1) -> Chain:
    """The first `count` stages of a cascade, or the locator of a configuration of two stages: what later ones see."""
    predictors = _predictors(files, files.stages[:count], options, volumes, [None] * count)
    return Chain(predictors, files.plans, files.labels)


def _predictors(
    files: ModelFiles,
    stages: Sequence[StagePlan],
    options: PredictionOptions,
    volumes: int,
    choices: Sequence[Choice | None],
) -> list[StagePredictor]:
    """One for each of these first stages of the model."""
    return [
        make_predictor(
            [NetworkFile(path, stage.name) for path in paths],
            files.plans,
            stage,
            files.labels,
            options,
            volumes=volumes,
            choice=choice,
            int8=find_int8(paths, organ=stage.shared_as),
        )
        for stage, paths, choice in zip(stages, files.weights[: len(stages)], choices, strict=True)
    ]


def _chain(files: ModelFiles, predictors: Sequence[StagePredictor]) -> Chain:
    if not files.experience:
        return Chain(predictors, files.plans, files.labels)
    experience = joined([read_experience(path) for path in files.experience])
    return TwoStageChain(predictors[0], predictors[1:], files.plans, files.labels, experience)
