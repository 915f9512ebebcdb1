"""nnU-Net's side of a training iteration; run by its own interpreter: peer_training_step.py REQUEST ANSWER."""

import json
import multiprocessing
import sys
import time

import torch
from nnunetv2.run.run_training import get_trainer_from_args


def main(request_file: str, answer_file: str) -> None:
    """Time iterations of nnUNetTrainer; threads as its own command sets them on a CPU."""
    with open(request_file) as handle:
        request = json.load(handle)
    torch.set_num_threads(multiprocessing.cpu_count())
    trainer = get_trainer_from_args(request["dataset"], "3d_fullres", 0, device=torch.device("cpu"))
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    waiting, steps = [], []
    for _ in range(request["warm_up"] + request["iterations"]):
        began = time.perf_counter()
        batch = next(trainer.dataloader_train)
        got = time.perf_counter()
        trainer.train_step(batch)
        waiting.append(got - began)
        steps.append(time.perf_counter() - got)
    counted = slice(request["warm_up"], None)
    with open(answer_file, "w") as handle:
        json.dump({"waiting_seconds": waiting[counted], "step_seconds": steps[counted], "precision": "fp32"}, handle)
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        if hasattr(loader, "_finish"):
            loader._finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
