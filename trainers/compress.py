"""Compression as a chain: the steps of every method that is asked for, one after the other, towards a target."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from trainers.channel_pruning import pruning_steps
from trainers.compressing import Chain, Step, begin_folder
from trainers.int8 import int8_steps
from trainers.job import Job, TrainingResult
from trainers.quantization import quantization_steps
from trainers.source import source_of
from trainers.threshold_pruning import threshold_steps
from trainers.usual import usual_trainer

METHODS: dict[str, Callable[[Chain], list[Step]]] = {
    "channel_pruning": pruning_steps,
    "threshold_pruning": threshold_steps,
    "quantization": quantization_steps,
    "int8": int8_steps,
}
"""In the order in which they are applied: each gives its steps for a chain."""


class CompressTrainer:
    """Makes a finished model of any configuration smaller by all methods in turn."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.source = source_of(job)

    @cached_property
    def chain(self) -> Chain:
        """The steps' surroundings; reads the plans of the model that is compressed."""
        return Chain(self.job, "compress", self.source)

    def trainings(self) -> dict[str, int]:
        """How many networks every step takes, at most, by stage; a budget is shared out among the steps."""
        return usual_trainer(self.chain.job).trainings()

    def run(self) -> TrainingResult:
        """Make what is not made yet."""
        chain = self.chain
        begin_folder(chain.job)
        return chain.run(self._steps())

    def _steps(self) -> list[Step]:
        wanted = self.chain.compression.methods
        return [step for name, steps in METHODS.items() if name in wanted for step in steps(self.chain)]
