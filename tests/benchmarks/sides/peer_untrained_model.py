"""An nnU-Net model folder with random weights; run by its own interpreter: peer_untrained_model.py REQUEST ANSWER."""

import json
import os
import sys

import torch
from nnunetv2.run.run_training import get_trainer_from_args


def main(request_file: str, answer_file: str) -> None:
    """Write what training writes, without training."""
    with open(request_file) as handle:
        request = json.load(handle)
    torch.manual_seed(0)
    trainer = get_trainer_from_args(request["dataset"], "3d_fullres", 0, device=torch.device("cpu"))
    trainer.initialize()
    trainer.inference_allowed_mirroring_axes = (0, 1, 2)
    for name, values in (("plans", trainer.plans_manager.plans), ("dataset", trainer.dataset_json)):
        with open(os.path.join(trainer.output_folder_base, f"{name}.json"), "w") as handle:
            json.dump(values, handle)
    trainer.save_checkpoint(os.path.join(trainer.output_folder, "checkpoint_final.pth"))
    with open(answer_file, "w") as handle:
        json.dump({}, handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
