"""Plans as tables for a reader: what each stage costs, and why everything is as it is."""

from __future__ import annotations

import json
import math
import operator
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoseg.fingerprint import Fingerprint
from autoseg.networks.closed_form import multiply_adds, shared_parameter_count
from autoseg.plans import Plans, StagePlan
from planners.rules.budget import PASSES, plausible_speed
from planners.rules.memory import training_bytes

IMAGE_BYTES = 4
LABEL_BYTES = 2
COLUMN_WIDTHS = (24, 22, 46, 34, 46)


@dataclass(frozen=True)
class StageCost:
    """What a stage takes.

    memory_bytes: of training. disk_bytes: of the prepared cases. parameters: of the network, which several stages may
    share. seconds_per_epoch: of training, None where nobody
    measured the machine.
    """

    memory_bytes: int
    disk_bytes: int
    parameters: int
    seconds_per_epoch: float | None


def stage_cost(
    stage: StagePlan, plans: Plans, fingerprint: Fingerprint, seconds_per_multiply_add: float | None
) -> StageCost:
    """Memory, disk, weights and time of a stage, from closed forms."""
    work = PASSES * stage.batch_size * _mean_work(plans.sharing(stage))
    epoch = work * stage.training.iterations_per_epoch
    return StageCost(
        training_bytes(stage.network, stage.patch_size, stage.batch_size, plans.target.device),
        prepared_bytes(stage, plans, fingerprint),
        shared_parameter_count(stage.network, len(plans.sharing(stage))),
        epoch * plausible_speed(seconds_per_multiply_add) if seconds_per_multiply_add else None,
    )


def _mean_work(stages: Sequence[StagePlan]) -> float:
    """Multiply-adds of a patch, over stages that share a network; a pair has twice the regions."""
    organs = [1 if stage.region is None else len(stage.region.organs) for stage in stages]
    work = [multiply_adds(stage.network, stage.patch_size) for stage in stages]
    return sum(map(operator.mul, organs, work)) / sum(organs)


def prepared_bytes(stage: StagePlan, plans: Plans, fingerprint: Fingerprint) -> int:
    """Disk that the prepared cases of a stage take; a 2D stage does not resample across slices.

    Of a stage with a region: the regions of its organs.
    """
    voxel_bytes = IMAGE_BYTES * len(plans.channels) + LABEL_BYTES
    if stage.region is not None:
        present = sum(fingerprint.classes[organ].present for organ in stage.region.organs)
        return round(present * math.prod(stage.median_shape) * voxel_bytes)
    total = 0.0
    for case in fingerprint.cases.values():
        edges = [case.cropped_shape[axis] for axis in plans.transpose]
        spacing = [case.spacing_mm[axis] for axis in plans.transpose]
        target = (spacing[0], *stage.spacing_mm) if stage.is_2d else stage.spacing_mm
        total += math.prod(edge * old / new for edge, old, new in zip(edges, spacing, target, strict=True))
    return round(total * voxel_bytes)


def explain(plans: Plans, fingerprint: Fingerprint, seconds_per_multiply_add: float | None = None) -> str:
    """The summary, and every decision with rule, numbers and rejected alternative."""
    return f"{summary(plans, fingerprint, seconds_per_multiply_add)}\n\n{decision_table(plans)}"


def summary(plans: Plans, fingerprint: Fingerprint, seconds_per_multiply_add: float | None = None) -> str:
    """For what was planned, the stages with their cost, and the configurations."""
    target = plans.target
    time = f" and {duration(target.budget_seconds)} per fold and stage" if target.budget_seconds else ""
    chains = (f"{name} ({', then '.join(stages)})" for name, stages in plans.configurations.items())
    return "\n".join(
        [
            f"plans {plans.name!r} by the planner {plans.planner!r} for {target.device} with "
            f"{size(target.memory_bytes)}{time}:",
            stage_table(plans, fingerprint, seconds_per_multiply_add),
            f"configurations: {', '.join(chains)}",
        ]
    )


def stage_table(plans: Plans, fingerprint: Fingerprint, seconds_per_multiply_add: float | None) -> str:
    """One row per stage."""
    rows = [["stage", "spacing mm", "median", "patch", "batch", "widths", "weights", "memory", "disk", "epoch"]]
    for stage in plans.stages.values():
        cost = stage_cost(stage, plans, fingerprint, seconds_per_multiply_add)
        shared, first = stage.grid != stage.name, plans.sharing(stage)[0]
        rows.append(
            [
                stage.name,
                _joined(f"{value:.3g}" for value in stage.spacing_mm),
                _joined(f"{value:g}" for value in stage.median_shape),
                _joined(map(str, stage.patch_size)),
                str(stage.batch_size),
                "-".join(str(level.encoder_widths[-1]) for level in stage.network.levels),
                f"{cost.parameters / 1e6:.1f} M" if first is stage else f"as {first.name}",
                size(cost.memory_bytes),
                f"as {stage.grid}" if shared else size(cost.disk_bytes),
                _epoch(cost.seconds_per_epoch, stage.training.iterations_per_epoch),
            ]
        )
    return _aligned(rows)


def decision_table(plans: Plans) -> str:
    """One row per decision, wrapped."""
    rows = [("decision", "value", "rule", "numbers", "rejected")]
    for made in plans.decisions:
        numbers = ", ".join(f"{name} {_plain(value)}" for name, value in made.numbers.items())
        rows.append((made.what, _plain(made.value), made.rule, numbers, made.rejected))
    return "\n".join(_wrapped(row) for row in rows)


def size(count: float) -> str:
    """1.5 GiB, 20 MiB."""
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / 1024**2:.0f} MiB"


def duration(seconds: float) -> str:
    """45 s, 10 min, 1.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _epoch(seconds: float | None, iterations: int) -> str:
    return f"{iterations} iterations" + (f", {duration(seconds)}" if seconds else "")


def _joined(parts: Any) -> str:
    return "x".join(parts)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _wrapped(row: Sequence[str]) -> str:
    cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, COLUMN_WIDTHS, strict=True)]
    height = max(len(cell) for cell in cells)
    lines = (
        "  ".join(
            (cell[line] if line < len(cell) else "").ljust(width)
            for cell, width in zip(cells, COLUMN_WIDTHS, strict=True)
        )
        for line in range(height)
    )
    return "\n".join(line.rstrip() for line in lines)
