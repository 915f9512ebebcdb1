"""(d2) The network alone: a window, in memory, through nnU-Net's network and through autoseg's engines."""

from __future__ import annotations

import statistics
from typing import Any

from autoseg.compression.int8 import is_installed
from comparison.bench import Bench, Measured, in_turn
from comparison.records import Line, Results, Target

WIDTHS = (32, 64, 128, 256, 320)
PATCHES = ((48, 64, 48), (96, 96, 96))
QUICK_PATCH = (32, 32, 32)
FASTER = Target("ratio", 8)


def network_alone(bench: Bench, results: Results) -> Measured:
    """Untrained networks of the same widths, strides and kernels; in int8 too, where that is installed."""
    patches = (QUICK_PATCH,) if bench.quick else PATCHES
    request = {"widths": WIDTHS, "patches": patches, "batch": 1, "warm_up": 1, "repeats": 3, "int8": is_installed()}
    environment = bench.peer_environment(bench.root / "peer")

    def peer() -> dict[str, Any]:
        answer, _ = bench.measure_peer("peer_network", request, environment)
        return {patch: statistics.median(seconds) for patch, seconds in answer.items()}

    def ours() -> dict[str, Any]:
        answer, _ = bench.measure_ours("autoseg_network", request)
        return dict(answer)

    ours()  # the choice of the engine is remembered from here on
    theirs, mine = in_turn(peer, ours, bench.repeats)
    names = ["x".join(map(str, patch)) for patch in patches]
    kinds = ["usual", *(["int8"] if request["int8"] else [])]
    return Measured(tuple(_line(patch, kind, theirs, mine) for kind in kinds for patch in names), ())


def _line(patch: str, kind: str, theirs: list[dict[str, Any]], mine: list[dict[str, Any]]) -> Line:
    widths = "-".join(map(str, WIDTHS))
    engine = "openvino in int8, calibrated on noise" if kind == "int8" else mine[0][patch]["engine"]
    return Line(
        f"d2.{patch}" if kind == "usual" else f"d2.{patch}.{kind}",
        f"the network alone, a window of {patch.replace('x', ' x ')}{', in int8' if kind == 'int8' else ''}",
        "s",
        tuple(one[patch] for one in theirs),
        tuple(statistics.median(one[patch][kind]) for one in mine),
        None if kind == "int8" else FASTER,
        note=f"widths {widths}, one window, torch fp32 in its usual order against {engine}",
    )
