"""(g) autoseg alone on a GPU: how many operations per second a training step and a window of prediction reach."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from autoseg.networks.cost import network_cost
from autoseg.plans import Ints
from autoseg.runtime.speed import FORWARD_PASSES_PER_STEP, plain_unet
from comparison.bench import Bench, LeftOut, Measured
from comparison.records import Line, Results

OPERATIONS = 2
"""A multiplication and an addition."""
WIDTHS = (32, 64, 128, 256, 320, 320)
PATCH: Ints = (128, 128, 128)
BATCH_SIZE = 2
PRODUCT_EDGE = 8192
"""Of the square matrices whose product is the peak."""


def gpu(bench: Bench, results: Results) -> Measured:
    """Steps and windows of a U-Net of six levels, as it is and compiled, beside the peak in the same precision."""
    if not torch.cuda.is_available():
        raise LeftOut("torch finds no GPU on this machine.")
    request = {"device": "cuda", "widths": WIDTHS, "patch": PATCH, "batch": BATCH_SIZE, "edge": PRODUCT_EDGE}
    counts = {"warm_up": 1, "repeats": 1} if bench.quick else {"warm_up": 3, "repeats": 10}
    answer, _ = bench.measure_ours("autoseg_gpu", request | counts)
    return Measured(lines_of(answer), (), {"gpu": answer})


def lines_of(answer: dict[str, Any]) -> tuple[Line, ...]:
    """answer: of sides/autoseg_gpu.py: seconds per repeat by name, the device, the precision, and the sizes."""
    spec, patch, batch = plain_unet(tuple(answer["widths"])), tuple(answer["patch"]), answer["batch"]
    work = {
        "product": answer["edge"] ** 3,
        "step": FORWARD_PASSES_PER_STEP * network_cost(spec, patch, batch).multiply_adds,
        "window": network_cost(spec, patch, 1).multiply_adds,
    }
    names = {
        "product": f"peak, a product of {answer['edge']} x {answer['edge']} matrices",
        "step": f"training step, {batch} patches of {'x'.join(map(str, patch))}",
        "window": "a window of prediction",
    }
    peak = teraflops(work["product"], answer["seconds"]["product"])
    lines = []
    for name, seconds in answer["seconds"].items():
        kind, _, way = name.partition(" ")
        what = f"GPU: {names[kind]}{f', {way}' if way else ''}"
        reached = teraflops(work[kind], seconds)
        note = "" if kind != "product" else f"{answer['device']}, {answer['precision']}; nnU-Net is not run"
        lines.append(Line(f"g1.{name}.tflops", what, "TFLOP/s", (), reached, has_ratio=False, note=note))
        if kind != "product":
            lines.append(Line(f"g1.{name}.seconds", what, "s", (), tuple(seconds), has_ratio=False))
            share = tuple(100 * one / statistics.median(peak) for one in reached)
            lines.append(Line(f"g1.{name}.share", f"{what}, of the peak", "%", (), share, has_ratio=False))
    return tuple(lines)


def teraflops(multiply_adds: float, seconds: list[float]) -> tuple[float, ...]:
    """Floating-point operations, of which a multiply-add is two, in units of 10^12 per second."""
    return tuple(OPERATIONS * multiply_adds / one / 1e12 for one in seconds)
