"""An autoseg model folder with random weights: autoseg_untrained_model.py REQUEST ANSWER."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from autoseg.compression.int8 import answer_to_phantom, calibrate
from autoseg.dataset import read_dataset
from autoseg.files import checksum, read_json, write_json
from autoseg.inference.backends.probe import Calibrated
from autoseg.inference.calibration import Int8Record, int8_files, write_int8_record
from autoseg.inference.predictor import StagePredictor
from autoseg.networks import build_network
from autoseg.networks.storage import save_network
from autoseg.plans import StagePlan, read_plans
from autoseg.training.options import TrainingOptions
from autoseg.workspace import Workspace
from trainers.job import Job
from trainers.validating import EXPECTED_VOLUMES

CALIBRATING_WINDOWS = 4
"""Enough for the speed."""


def main(request_file: str, answer_file: str) -> None:
    """Write what training writes, without training, and measure the engines as training does at its end."""
    request = read_json(request_file)
    workspace, folder = Workspace.open(request["root"]), Path(request["folder"])
    dataset = read_dataset(workspace.raw(request["dataset"]))
    plans = read_plans(workspace.plans_file(request["dataset"], request["plans"]))
    Job(workspace, dataset, plans, "3d_fullres", folder, TrainingOptions(folds=("0",), restart=True)).begin()
    torch.manual_seed(0)
    stage, weights = plans.stages["3d_fullres"], folder / "fold_0" / "model.safetensors"
    network = build_network(stage.network)
    save_network(weights, network)
    calibrated = (_into_int8(network, stage, weights),) if request["int8"] else ()
    StagePredictor([network], plans, stage, dataset.labels, volumes=EXPECTED_VOLUMES, int8=calibrated)
    write_json(answer_file, {})


def _into_int8(network: torch.nn.Module, stage: StagePlan, weights: Path) -> Calibrated:
    """int8 files beside the weights, and a record that they were accepted: no Dice is asked of an untrained network."""
    shape = (1, stage.network.in_channels, *stage.patch_size)
    model, values = int8_files(weights)
    calibrate(network, (torch.randn(shape) for _ in range(CALIBRATING_WINDOWS)), stage.patch_size, model)
    record = Int8Record(
        weights=checksum(weights),
        model=checksum(model),
        values=checksum(values),
        patches=CALIBRATING_WINDOWS,
        dice_before=0.0,
        dice_after=0.0,
        tolerance=0.0,
        answer=answer_to_phantom(network, model, stage.patch_size),
    )
    write_int8_record(weights, record)
    return Calibrated(str(model), record.answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
