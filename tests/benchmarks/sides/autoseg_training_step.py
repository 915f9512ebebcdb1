"""autoseg's side of a training iteration: autoseg_training_step.py REQUEST ANSWER.

The trainer runs as autoseg_train runs it; only the loop's batches and hooks are watched, and it ends early.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autoseg.dataset import read_dataset
from autoseg.files import read_json, write_json
from autoseg.plans import read_plans
from autoseg.runtime.allocator import keep_freed_memory
from autoseg.training.loop import Hook, TrainingLoop
from autoseg.training.options import TrainingOptions
from autoseg.workspace import Workspace
from trainers.job import Job
from trainers.standard import StandardTrainer


class EnoughSeen(Exception):  # noqa: N818 - it ends the run, nothing failed
    """Ends the training."""


class Clock(Hook):
    """Notes for every iteration how long it took, and how much of that was waiting for its batch."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.waiting: list[float] = []
        self.whole: list[float] = []
        self._last = 0.0

    def watched(self, batches: Callable[[int], Iterator[Any]]) -> Callable[[int], Iterator[Any]]:
        """The same batches, timed."""

        def timed(start: int) -> Iterator[Any]:
            made = batches(start)
            self._last = time.perf_counter()
            while True:
                began = time.perf_counter()
                batch = next(made)
                self.waiting.append(time.perf_counter() - began)
                yield batch

        return timed

    def after_step(self, loop: TrainingLoop) -> None:
        """Count the iteration; end after the last."""
        now = time.perf_counter()
        self.whole.append(now - self._last)
        self._last = now
        if loop.iteration == self.iterations:
            raise EnoughSeen


def main(request_file: str, answer_file: str) -> None:
    """Time iterations of the standard trainer."""
    request = read_json(request_file)
    keep_freed_memory()
    clock = Clock(request["warm_up"] + request["iterations"])
    make_loop = TrainingLoop.__init__

    def watched(loop: TrainingLoop, *arguments: Any, **named: Any) -> None:
        named["batches"] = clock.watched(named["batches"])
        named["hooks"] = [*named["hooks"], clock]
        make_loop(loop, *arguments, **named)

    TrainingLoop.__init__ = watched  # type: ignore[method-assign]
    workspace = Workspace.open(request["root"])
    dataset = read_dataset(workspace.raw(request["dataset"]))
    plans = read_plans(workspace.plans_file(request["dataset"], request["plans"]))
    options = TrainingOptions(folds=("0",), epochs=1000, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        job = Job(workspace, dataset, plans, "3d_fullres", Path(folder) / "model__3d_fullres", options)
        try:
            StandardTrainer(job).run()
        except EnoughSeen:
            settings = read_json(job.folder / "fold_0" / "training.json")["settings"]
    waiting = clock.waiting[request["warm_up"] : clock.iterations]
    whole = clock.whole[request["warm_up"] :]
    steps = [both - wait for both, wait in zip(whole, waiting, strict=True)]
    write_json(answer_file, {"waiting_seconds": waiting, "step_seconds": steps, "precision": settings["precision"]})


if __name__ == "__main__":
    main(*sys.argv[1:])
