"""nnU-Net trained by the clock; run by its own interpreter: peer_training.py REQUEST ANSWER.

Its trainer counts epochs of 250 iterations, and a CPU makes about a hundred in ten minutes. Here a run ends with the
clock, and its polynomial schedule runs over the time. Only iterations count as time: start-up, validation and
checkpoints do not.
"""

import json
import multiprocessing
import os
import sys
import time

import torch
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

EPOCHS = 10
VALIDATION_BATCHES = 2


class ByTheClock:
    """Goes before a trainer class; seconds: of training, to be set before run_training."""

    seconds = 0.0

    def run_training(self) -> None:
        """Train until the time is over, in EPOCHS parts."""
        self.points, self.iterations, self.spent = [], 0, 0.0
        self.logger.plot_progress_png = lambda folder: None
        self.on_train_start()
        while self.spent < self.seconds:
            self.on_epoch_start()
            self.on_train_epoch_start()
            self.on_train_epoch_end(self._train_until((self.current_epoch + 1) * self.seconds / EPOCHS))
            self._validate()
            self.on_epoch_end()
        self.on_train_end()

    def _train_until(self, seconds: float) -> list:
        """At least one iteration, then more until so many seconds are spent."""
        outputs = []
        while not outputs or self.spent < min(seconds, self.seconds):
            began = time.perf_counter()
            rate = self.initial_lr * (1 - min(1.0, self.spent / self.seconds)) ** 0.9
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            outputs.append(self.train_step(next(self.dataloader_train)))
            self.spent += time.perf_counter() - began
            self.iterations += 1
        return outputs

    def _validate(self) -> None:
        with torch.no_grad():
            self.on_validation_epoch_start()
            outputs = [self.validation_step(next(self.dataloader_val)) for _ in range(VALIDATION_BATCHES)]
            self.on_validation_epoch_end(outputs)
        dice = float(self.logger.get_value("mean_fg_dice", step=-1))
        self.points.append((self.spent / 60, dice if dice == dice else 0.0))

    def save_checkpoint(self, filename: str) -> None:
        """The last one only."""
        if os.path.basename(filename) == "checkpoint_final.pth":
            super().save_checkpoint(filename)


def main(request_file: str, answer_file: str) -> None:
    """Train fold 0 of 3d_fullres; threads as its own command sets them on a CPU."""
    with open(request_file) as handle:
        request = json.load(handle)
    torch.set_num_threads(multiprocessing.cpu_count())
    base = recursive_find_trainer_class_by_name(request["trainer"])
    # Under the name of its base, so that the stock nnUNetv2_predict finds the class of the checkpoint.
    clock_class = type(base.__name__, (ByTheClock, base), {})
    trainer = get_trainer_from_args(
        request["dataset"], "3d_fullres", 0, plans_identifier=request["plans"], device=torch.device("cpu")
    )
    trainer = clock_class(
        {**trainer.plans_manager.plans, "continue_training": False},
        "3d_fullres",
        0,
        trainer.dataset_json,
        torch.device("cpu"),
    )
    trainer.seconds = request["seconds"]
    trainer.run_training()
    with open(answer_file, "w") as handle:
        json.dump({"points": trainer.points, "iterations": trainer.iterations}, handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
