"""How the learning rate changes over a run: pure functions of where the run stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from autoseg.errors import unknown_name


@dataclass(frozen=True)
class Position:
    """Where a run stands. progress: 0 at its start, 1 at its end. iteration: finished ones. epoch: fractional."""

    progress: float
    iteration: int
    epoch: float


@dataclass(frozen=True)
class Cycles:
    """Of warm restarts: the epochs of the first cycle (T0), and how many times longer each next one is (Tmult)."""

    first_epochs: int = 5
    growth: int = 3


USUAL_CYCLES = Cycles()
Schedule = Callable[[Position, Cycles], float]


def polynomial(position: Position, cycles: Cycles) -> float:
    """(1 - t)^0.9, as nnU-Net does."""
    return (1 - min(position.progress, 1.0)) ** 0.9


def cosine(position: Position, cycles: Cycles) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * min(position.progress, 1.0)))


def cosine_restarts(position: Position, cycles: Cycles) -> float:
    """Cosine with warm restarts (ibid.): with T0 = 5 and Tmult = 3 over 5, 15, 45, ... epochs."""
    start, length = 0.0, float(cycles.first_epochs)
    while position.epoch >= start + length:
        start, length = start + length, length * cycles.growth
    return 0.5 * (1 + math.cos(math.pi * (position.epoch - start) / length))


def constant(position: Position, cycles: Cycles) -> float:
    """The same rate throughout."""
    return 1.0


SCHEDULES: dict[str, Schedule] = {
    "polynomial": polynomial,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "constant": constant,
}


def find_schedule(name: str) -> Schedule:
    """The registered schedule; OptionError lists the names that are known."""
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    return SCHEDULES[name]


def learning_rate_factor(
    name: str, position: Position, *, warmup_iterations: int = 0, cycles: Cycles = USUAL_CYCLES
) -> float:
    """The share of the peak learning rate at this position, with a linear warm-up over the first iterations."""
    schedule = find_schedule(name)
    warmup = min(1.0, (position.iteration + 1) / warmup_iterations) if warmup_iterations else 1.0
    return warmup * schedule(position, cycles)
