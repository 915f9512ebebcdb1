"""Which network, patch and batch a CPU can train in the time at hand.

A network learns from iterations. Hence: the largest patch, and for it the widest network, with which the budget buys
the wanted number of iterations. A patch never reaches beyond the median case: padding is work without a lesson.
documentation/explanation/planning.md tells the experiments behind the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoseg.errors import PlanningError
from autoseg.networks.closed_form import multiply_adds
from autoseg.plans import NetworkSpec, TrainingPlan
from planners.rules.memory import training_bytes
from planners.rules.topology import Topology

DEFAULT_BUDGET_SECONDS = 3600.0
"""Per fold and stage, where the user names no budget."""
DEFAULT_SECONDS_PER_MULTIPLY_ADD = 1.5e-11
"""A cautious guess for a desktop CPU, where nobody measured it."""
SLOWEST_SECONDS_PER_MULTIPLY_ADD = 5e-11
"""A single old core. What was measured slower was measured while the machine was busy with something else."""
WANTED_ITERATIONS = 4000
"""Beyond these, a wider network or a larger patch is worth more than further iterations."""
WANTED_PER_ROOT_SECOND = 40.0
"""A small budget is content with fewer: they grow with its square root, and so does the work of each. 438 in two
minutes, 979 in ten."""
LEAST_WANTED_ITERATIONS = 200
"""In which a network found all seven organs of head and neck."""
WIDTHS = (32, 24, 16)
"""Channels of the finest level, widest first: multiples of 8, which vector units fill."""
LAST_WIDTH = 8
"""Tried at the smallest patch only."""
SMALLEST_PATCH_VOXELS = {3: 32**3, 2: 64**2}
"""By dimensions: a smaller patch sees too little of its surroundings."""
BATCH_SIZES = {3: 2, 2: 8}
"""By dimensions: small batches, because iterations count; at most what the peer's rule gives."""
PASSES = 3
"""A training step costs three forward passes: the backward pass finds gradients of inputs and of weights."""
CPU_TRAINING = TrainingPlan(
    optimizer="muon",
    learning_rate=5e-3,
    schedule="cosine",
    loss="dice",
    weight_average=0.99,
    warmup_iterations=20,
)
"""Orthogonal steps and averaged weights learn in hundreds of iterations; SGD with momentum .99 takes far longer. Dice
alone, because cross-entropy teaches first that all is background."""
LEAST_PART = 0.5
"""Of an equal part, for a network whose iterations cost next to nothing: batches and validation take their time too."""
EPOCHS = 20
EPOCH_ITERATIONS = (10, 250)


@dataclass(frozen=True)
class Candidate:
    """A network on a patch."""

    base_filters: int
    topology: Topology
    spec: NetworkSpec
    batch_size: int

    @property
    def work(self) -> int:
        """Multiply-adds of one training iteration."""
        return PASSES * self.batch_size * multiply_adds(self.spec, self.topology.patch_size)

    @property
    def bytes(self) -> int:
        """Memory of training."""
        return training_bytes(self.spec, self.topology.patch_size, self.batch_size)


@dataclass(frozen=True)
class Choice:
    """The candidate that was taken, the iterations that the budget buys with it, and the last one passed over."""

    candidate: Candidate
    iterations: int
    seconds_per_iteration: float
    wanted: int
    passed_over: Candidate | None
    passed_over_iterations: int


def plausible_speed(seconds_per_multiply_add: float | None) -> float:
    """What was measured, or the guess where nobody did; bounded, because a busy machine measures itself too slow."""
    measured = seconds_per_multiply_add or DEFAULT_SECONDS_PER_MULTIPLY_ADD
    return min(measured, SLOWEST_SECONDS_PER_MULTIPLY_ADD)


def wanted_iterations(budget_seconds: float) -> int:
    """How many iterations a training should have."""
    grown = int(WANTED_PER_ROOT_SECOND * math.sqrt(budget_seconds))
    return max(LEAST_WANTED_ITERATIONS, min(WANTED_ITERATIONS, grown))


def choose(
    candidates: Iterable[Candidate],
    *,
    budget_seconds: float,
    seconds_per_multiply_add: float,
    memory_bytes: int,
    wanted: int | None = None,
) -> Choice:
    """The first candidate that fits into memory and gets the wanted iterations; else the last, which is the cheapest.

    candidates: at least one, in the order of preference. wanted: how many that are, by default wanted_iterations() of
    the budget. Raises PlanningError where not even the last fits into memory.
    """
    wanted = wanted or wanted_iterations(budget_seconds)
    passed, passed_iterations = None, 0
    for candidate in candidates:
        seconds = candidate.work * seconds_per_multiply_add
        iterations = max(1, int(budget_seconds / seconds))
        choice = Choice(candidate, iterations, seconds, wanted, passed, passed_iterations)
        if iterations >= wanted and candidate.bytes <= memory_bytes:
            return choice
        passed, passed_iterations = candidate, iterations
    if candidate.bytes > memory_bytes:
        raise PlanningError(
            f"Training takes {candidate.bytes / 2**20:.0f} MiB at least, more than the {memory_bytes / 2**20:.0f} MiB "
            f"of --memory.",
            "Raise --memory, or lower --patch-size, --base-filters or --batch-size.",
        )
    return choice


def parts_by_cost(costs: Sequence[float]) -> tuple[float, ...]:
    """Parts of one budget in proportion to positive costs, of sum 1; none is under LEAST_PART of an equal one."""
    least = LEAST_PART / len(costs)
    cheap: set[int] = set()
    while True:
        rest, cost = 1 - least * len(cheap), sum(cost for i, cost in enumerate(costs) if i not in cheap)
        parts = tuple(least if i in cheap else rest * own / cost for i, own in enumerate(costs))
        more = {i for i, part in enumerate(parts) if part < least} - cheap
        if not more:
            return parts
        cheap |= more


def iterations_per_epoch(iterations: int) -> int:
    """Twenty epochs in a training, of a length that is neither all overhead nor a long silence."""
    least, most = EPOCH_ITERATIONS
    return max(least, min(most, iterations // EPOCHS))
