"""What a model folder costs before anything is measured: bytes, weights and multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg.files import checksum, checksum_of
from autoseg.inference.calibration import Int8Record, find_int8, int8_files, read_int8_record
from autoseg.inference.model_files import ModelFiles
from autoseg.inference.options import PredictionOptions
from autoseg.inference.predictor import Flipping, windows_of
from autoseg.labels import organ_labels
from autoseg.networks.stored_file import count_weights
from autoseg.plans import StagePlan

INT8 = "int8"


@dataclass(frozen=True)
class ModelCosts:
    """bytes: of the networks' files that prediction opens. parameters: of the networks; what organs share counts once.

    multiply_adds: of a case of median size, over all windows, flips, organs and folds.
    """

    bytes: int
    parameters: int
    multiply_adds: float


def model_costs(files: ModelFiles, precision: str, options: PredictionOptions) -> ModelCosts:
    """The costs of a model with its networks as they are, or in int8, where those in floats are opened, too."""
    networks = {path for paths in files.weights for path in paths}
    opened = networks | (int8_parts(files) if precision == INT8 else set())
    work = sum(
        len(paths) * _multiply_adds(files, stage, options)
        for stage, paths in zip(files.stages, files.weights, strict=True)
    )
    return ModelCosts(sum(path.stat().st_size for path in opened), sum(map(count_weights, networks)), work)


def has_int8(files: ModelFiles) -> bool:
    """Whether all stages have networks in int8 that were accepted."""
    stages = zip(files.stages, files.weights, strict=True)
    return all(find_int8(paths, organ=stage.shared_as) for stage, paths in stages)


def refused_int8(files: ModelFiles) -> dict[str, Int8Record]:
    """The records of the networks in int8 that were not accepted, by stage and fold; empty without any."""
    found = {}
    for stage, paths in zip(files.stages, files.weights, strict=True):
        for path in paths:
            record = read_int8_record(path, stage.shared_as)
            if record is not None and not record.accepted:
                found[f"{stage.name} {path.parent.name}"] = record
    return found


def int8_parts(files: ModelFiles) -> set[Path]:
    """The files of all networks in int8."""
    return {
        file
        for stage, paths in zip(files.stages, files.weights, strict=True)
        for path in paths
        for file in int8_files(path, stage.shared_as)
    }


def networks_checksum(files: ModelFiles, precision: str) -> str:
    """Of everything that a model computes with in a precision, and of how it cleans what it predicted."""
    paths = {path for weights in files.weights for path in weights} | (
        int8_parts(files) if precision == INT8 else set()
    )
    return checksum_of(
        [[str(path.relative_to(files.folder)), checksum(path)] for path in sorted(paths)] + [files.rules]
    )


def _multiply_adds(files: ModelFiles, stage: StagePlan, options: PredictionOptions) -> float:
    from autoseg.networks.cost import network_cost

    plans, labels, organs = files.plans, files.labels, 1
    if stage.region is not None:
        plans, labels, organs = plans.of_organ(stage), organ_labels(labels), len(stage.region.organs)
    wanted = stage.flips if options.flips is None else options.flips
    flips = len(Flipping.of(plans, labels, wanted, is_2d=stage.is_2d).flips)
    per_window = network_cost(stage.network, stage.patch_size, 1).multiply_adds
    return float(per_window) * windows_of(plans, stage, options.overlap) * flips * organs
