"""(b) One training iteration with the same plan and batch, and the share of it that waits for the loader."""

from __future__ import annotations

import statistics
from typing import Any

from comparison.bench import Bench, Measured, in_turn
from comparison.datasets import HIPPOCAMPUS, SAME_PLANS, same_plans
from comparison.records import Line, Results, Target

LOADERS = (0, 1, 2)
"""The peer's processes that make batches (nnUNet_n_proc_DA); 0: none, in turn with training."""
KEY = "b1"


def training_step(bench: Bench, results: Results) -> Measured:
    """Both sides train in process; the first iterations are not counted."""
    plans = same_plans(bench)
    counts = {"warm_up": 1, "iterations": 1} if bench.quick else {"warm_up": 2, "iterations": 4}

    def peer(loaders: int, request: dict[str, int] = counts) -> dict[str, Any]:
        environment = bench.peer_environment(plans.peer, n_proc_DA=loaders)
        answer, _ = bench.measure_peer("peer_training_step", {"dataset": HIPPOCAMPUS, **request}, environment)
        return _medians(answer)

    def ours() -> dict[str, Any]:
        request = {"root": str(bench.root), "dataset": HIPPOCAMPUS, "plans": SAME_PLANS, **counts}
        answer, _ = bench.measure_ours("autoseg_training_step", request)
        return _medians(answer)

    tried = {loaders: peer(loaders) for loaders in LOADERS}
    best = min(tried, key=lambda loaders: tried[loaders]["seconds"])
    theirs, mine = in_turn(lambda: peer(best), ours, bench.repeats, first=tried[best])
    listed = ", ".join(f"{loaders}: {found['seconds']:.2f} s" for loaders, found in tried.items())
    note = f"{plans.text}; the peer's best of nnUNet_n_proc_DA {listed}; autoseg in {mine[0]['precision']}"
    lines = (
        Line("b.step", "training iteration, same plan and batch", "s", _values(theirs, "seconds"),
             _values(mine, "seconds"), Target("ratio", 3), note=note),
        Line("b.waiting", "share of it that waits for the loader", "%", _values(theirs, "waiting_percent"),
             _values(mine, "waiting_percent"), Target("at most", 2), has_ratio=False),
    )  # fmt: skip
    return Measured(lines, (), {"n_proc_DA": best, "tried": {str(k): v for k, v in tried.items()}, "plan": plans.text})


def _medians(answer: dict[str, Any]) -> dict[str, Any]:
    """answer: per iteration the seconds of waiting for a batch, and of everything else."""
    waiting, steps = answer["waiting_seconds"], answer["step_seconds"]
    return {
        "seconds": statistics.median(w + s for w, s in zip(waiting, steps, strict=True)),
        "waiting_percent": 100 * sum(waiting) / (sum(waiting) + sum(steps)),
        "precision": answer["precision"],
    }


def _values(found: list[dict[str, Any]], name: str) -> tuple[float, ...]:
    return tuple(float(one[name]) for one in found)
