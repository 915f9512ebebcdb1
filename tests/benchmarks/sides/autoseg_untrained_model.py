"""An autoseg model folder with random weights: autoseg_untrained_model.py REQUEST ANSWER."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from autoseg.dataset import read_dataset
from autoseg.files import read_json, write_json
from autoseg.inference.predictor import StagePredictor
from autoseg.networks import build_network
from autoseg.networks.storage import save_network
from autoseg.plans import read_plans
from autoseg.training.options import TrainingOptions
from autoseg.workspace import Workspace
from trainers.job import Job
from trainers.validating import EXPECTED_VOLUMES


def main(request_file: str, answer_file: str) -> None:
    """Write what training writes, without training, and measure the engines as training does at its end."""
    request = read_json(request_file)
    workspace, folder = Workspace.open(request["root"]), Path(request["folder"])
    dataset = read_dataset(workspace.raw(request["dataset"]))
    plans = read_plans(workspace.plans_file(request["dataset"], request["plans"]))
    Job(workspace, dataset, plans, "3d_fullres", folder, TrainingOptions(folds=("0",), restart=True)).begin()
    torch.manual_seed(0)
    stage = plans.stages["3d_fullres"]
    save_network(folder / "fold_0" / "model.safetensors", build_network(stage.network))
    StagePredictor([build_network(stage.network)], plans, stage, dataset.labels, volumes=EXPECTED_VOLUMES)
    write_json(answer_file, {})


if __name__ == "__main__":
    main(*sys.argv[1:])
