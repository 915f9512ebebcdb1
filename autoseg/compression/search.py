"""How much must go: the least pruning that meets a target, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autoseg.compression.options import MOST_PRUNED, CompressionOptions
from autoseg.errors import OptionError
from autoseg.networks.cost import network_cost
from autoseg.plans import NetworkSpec, StagePlan

STEP = 0.025
RATIOS = tuple(round(STEP * number, 6) for number in range(1, round(MOST_PRUNED / STEP) + 1))
BYTES_PER_WEIGHT = 4

Seconds = Callable[[StagePlan, Sequence[NetworkSpec]], Sequence[float]]
"""Seconds per patch of several networks of a stage, measured side by side."""
FileBytes = Callable[[NetworkSpec], float]
"""How large the file of a network will be."""


def least_ratio(
    stage: StagePlan,
    smaller: Callable[[float], NetworkSpec],
    options: CompressionOptions,
    seconds: Seconds,
    file_bytes: FileBytes | None = None,
) -> float:
    """The smallest ratio at which a network of a stage is small and fast enough, as options.target_... ask for.

    smaller: the spec at a ratio. file_bytes: see meets_size. By bisection over RATIOS: a larger ratio is taken to be
    faster. Raises OptionError where even the largest does not do.
    """

    def meets(ratio: float) -> bool:
        return meets_size(stage, smaller(ratio), options, file_bytes) and _is_fast(
            stage, smaller(ratio), options, seconds
        )

    if not meets(RATIOS[-1]):
        raise OptionError(
            f"{stage.name} does not reach the target even without {100 * RATIOS[-1]:g} % of its filters.",
            "Give a less ambitious --target-latency or --target-size, or a smaller --granularity.",
        )
    low, high = -1, len(RATIOS) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(RATIOS[middle]) else (middle, high)
    return RATIOS[high]


def weight_bytes(spec: NetworkSpec) -> int:
    """Of a network's weights in fp32; its file has a header of some kilobytes more."""
    edges = [2 * divisor for divisor in spec.divisor]
    return BYTES_PER_WEIGHT * network_cost(spec, edges, 1).parameters


def meets_size(
    stage: StagePlan, spec: NetworkSpec, options: CompressionOptions, file_bytes: FileBytes | None = None
) -> bool:
    """Whether a network in place of a stage's is small enough, by options.target_bytes; True without such a target.

    file_bytes: how large a file it will have; None for its weights in fp32. A share is one of the full weights in fp32.
    """
    bound = options.target_bytes
    return bound is None or (file_bytes or weight_bytes)(spec) <= bound.of(weight_bytes(stage.network))


def _is_fast(stage: StagePlan, spec: NetworkSpec, options: CompressionOptions, seconds: Seconds) -> bool:
    bound = options.target_latency
    if bound is None:
        return True
    full, own = seconds(stage, [stage.network, spec])
    return own <= bound.of(full)
