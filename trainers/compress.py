"""Compression as a chain: the steps of every method that is asked for, one after the other, towards a target."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property

from autoseg.compression.int8 import check_installed
from autoseg.compression.options import CompressionOptions
from autoseg.compression.search import meets_size
from trainers.channel_pruning import pruning_steps
from trainers.compressing import Chain
from trainers.expected_size import expected_bytes, followed_by
from trainers.int8 import int8_steps
from trainers.job import Job, TrainingResult, first_of_each_network
from trainers.making import Step
from trainers.quantization import quantization_steps
from trainers.source import source_of
from trainers.threshold_pruning import threshold_steps
from trainers.usual import usual_trainer

LOGGER = logging.getLogger(__name__)
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
        wanted = (self.job.compression or CompressionOptions()).methods
        return Chain(self.job, "compress", self.source, [name for name in METHODS if name in wanted])

    def trainings(self) -> dict[str, int]:
        """How many networks every step takes, at most, by stage; a budget is shared out among the steps."""
        return usual_trainer(self.chain.job).trainings()

    def run(self) -> TrainingResult:
        """Make what is not made yet."""
        chain = self.chain
        if "int8" in chain.methods:
            check_installed()
        return chain.run([METHODS[name](chain) for name in chain.methods if self._is_needed(name)])

    def _is_needed(self, method: str) -> bool:
        """Whether the target asks for it: nothing is cut for a size that the methods after it reach alone."""
        chain, options = self.chain, self.chain.compression
        if method != "channel_pruning" or options.target_bytes is None or options.target_latency is not None:
            return True
        stages = [stage for stage in first_of_each_network(chain.job.stages) if stage.name in chain.stages]
        if not followed_by(chain) or not all(
            meets_size(stage, stage.network, options, expected_bytes(chain, stage)) for stage in stages
        ):
            return True
        LOGGER.info("No filter needs to be cut: %s will do for --target-size.", " and ".join(followed_by(chain)))
        return False
