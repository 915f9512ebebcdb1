"""(e) From logits on the network's grid to labels on the volume's own grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comparison.bench import OUR_PATH, Bench, Measured, ours
from comparison.processes import ChildMemoryError, Usage, run_child
from comparison.records import GIBIBYTE, Line, Results, Target
from comparison.volumes import Shape, Spacing, write_logits

FASTER, AGREEMENT_PERCENT = Target("ratio", 15), Target("at least", 99.9999)
WHOLE_PREDICTION_BYTES = Target("at most", 4 * GIBIBYTE)
LONG_BYTES = 8 * GIBIBYTE
"""The peer's output beyond this takes over five minutes: only with --long."""


@dataclass(frozen=True)
class Export:
    """key: of the benchmark. shape, spacing_mm: of the volume (z, y, x). grid_mm: the network's voxels."""

    key: str
    classes: int
    shape: Shape
    spacing_mm: Spacing
    grid_mm: float

    @property
    def grid(self) -> Shape:
        """The network's grid."""
        z, y, x = (round(n * mm / self.grid_mm) for n, mm in zip(self.shape, self.spacing_mm, strict=True))
        return z, y, x

    def small(self) -> Export:
        """For a quick run."""
        z, y, x = (n // 8 for n in self.shape)
        return Export(self.key, self.classes, (z, y, x), self.spacing_mm, self.grid_mm)

    def peer_bytes(self, itemsize: int) -> int:
        """What the peer's function holds at its peak, from reading it.

        The logits, a float64 copy of them, the resampled logits of all classes, and then either two float64 volumes
        (one class being resampled) or the int64 of the argmax.
        """
        count, coarse, fine = 1 + self.classes, math.prod(self.grid), math.prod(self.shape)
        return count * coarse * (itemsize + 8) + count * fine * itemsize + 2 * fine * 8


SHORT_VOLUME: tuple[Shape, Spacing] = ((300, 512, 512), (2.0, 0.75, 0.75))
LONG_VOLUME: tuple[Shape, Spacing] = ((800, 512, 512), (1.0, 0.75, 0.75))
EXPORTS = [
    Export(f"e{number}", classes, shape, spacing_mm, 1.5 if classes == 8 else 3.0)
    for number, (classes, (shape, spacing_mm)) in enumerate(
        ((classes, volume) for volume in (SHORT_VOLUME, LONG_VOLUME) for classes in (8, 61, 117)), start=1
    )
]
ITEMSIZES = {"float32": 4, "float16": 2}


def export(bench: Bench, results: Results, case: Export) -> Measured:
    """e1 to e6: the same logits on both sides, in a process of their own, one pair."""
    case = case.small() if bench.quick else case
    theirs, dtype, note = _peer(bench, case)
    mine = _ours(bench, case, dtype)
    what = f"export {case.classes} classes, {'x'.join(map(str, case.shape[::-1]))}"
    note = f"from a grid of {case.grid_mm} mm, logits in {dtype}; {note}"
    faster = FASTER if case.key == "e1" else None
    found = [theirs] if theirs else []
    lines = [
        Line(f"{case.key}.wall", what, "s", _values(found, "seconds"), _values([mine], "seconds"), faster, note=note),
        Line(f"{case.key}.memory", f"{what}: memory besides the logits", "bytes", _values(found, "added_bytes"),
             _values([mine], "added_bytes")),
    ]  # fmt: skip
    if theirs:
        agreement = (agreement_percent(Path(theirs["labels"]), Path(mine["labels"])),)
        target = AGREEMENT_PERCENT if dtype == "float32" else None
        lines.append(
            Line(f"{case.key}.agreement", f"{what}: equal voxels", "%", (), agreement, target, has_ratio=False)
        )
    bench.fresh("e")
    return Measured(tuple(lines), (), {"peer": theirs, "ours": mine})


def _peer(bench: Bench, case: Export) -> tuple[dict[str, Any] | None, str, str]:
    """What the peer took, for which type of logits, and what there is to say; None where it was not run to the end."""
    needed = {dtype: case.peer_bytes(itemsize) for dtype, itemsize in ITEMSIZES.items()}
    told = " or ".join(f"{bytes_ / GIBIBYTE:.1f} GiB in {dtype}" for dtype, bytes_ in needed.items())
    fitting = [dtype for dtype, bytes_ in needed.items() if bytes_ < bench.limit_bytes()]
    if not fitting:
        return None, "float32", f"the peer needs about {told}, and {bench.limit_bytes() / GIBIBYTE:.1f} GiB are there"
    dtype = fitting[0]
    if needed[dtype] > LONG_BYTES and not bench.long:
        return None, "float32", f"the peer needs about {told} and many minutes: run with --long"
    try:
        environment = bench.peer_environment(bench.root / "peer", def_n_proc=bench.cores)
        answer, _ = bench.measure_peer("peer_export", _request(bench, case, dtype, "peer"), environment)
    except ChildMemoryError as error:
        return None, "float32", f"the peer was {error}"
    return answer, dtype, f"the peer's estimated need was {needed[dtype] / GIBIBYTE:.1f} GiB"


def _ours(bench: Bench, case: Export, dtype: str) -> dict[str, Any]:
    answer, _ = bench.measure_ours("autoseg_export", _request(bench, case, dtype, "ours"))
    return dict(answer)


def _request(bench: Bench, case: Export, dtype: str, side: str) -> dict[str, Any]:
    folder = bench.root / "scratch" / "e"
    logits = folder / f"{case.key}_{dtype}.npy"
    if not logits.exists():
        folder = bench.fresh("e")
        write_logits(logits, case.grid, case.classes, dtype)
    return {
        "logits": str(logits),
        "labels": str(folder / f"{case.key}_{side}.npy"),
        "shape": list(case.shape),
        "spacing_mm": list(case.spacing_mm),
        "grid_mm": [case.grid_mm] * 3,
    }


def _values(found: list[dict[str, Any]], name: str) -> tuple[float, ...]:
    return tuple(float(one[name]) for one in found)


def agreement_percent(first: Path, second: Path) -> float:
    """How many voxels of two npy files are equal, in percent."""
    one, other = np.load(first, mmap_mode="r"), np.load(second, mmap_mode="r")
    if one.shape != other.shape:
        return 0.0
    return 100 * sum(int((a == b).sum()) for a, b in zip(one, other, strict=True)) / one.size


def whole_prediction(bench: Bench, results: Results) -> Measured:
    """e7: autoseg_predict of the longest volume with the most classes, by a small untrained network."""
    case = EXPORTS[-1].small() if bench.quick else EXPORTS[-1]
    folder = bench.fresh("e7")
    request = {"folder": str(folder), "classes": case.classes, "shape": list(case.shape),
               "spacing_mm": list(case.spacing_mm), "grid_mm": case.grid_mm}  # fmt: skip
    bench.measure_ours("autoseg_many_classes", request)
    words = ["--model", folder / "model__3d_fullres", "-i", folder / "images", "-o", folder / "out"]
    options = ["--device", "cpu", *(["--memory", "4G"] if _has_memory_option(bench) else [])]
    usage: Usage = bench.run_ours("predict", *words, *options, log="e7")
    what = f"autoseg_predict, {case.classes} classes, {'x'.join(map(str, case.shape[::-1]))}"
    note = f"network of widths 8-16-32, grid of {case.grid_mm} mm; the peer cannot export it in this memory"
    lines = (
        Line("e7.memory", f"{what}: peak memory", "bytes", (), (float(usage.peak_bytes),), WHOLE_PREDICTION_BYTES,
             note=note),
        Line("e7.wall", f"{what}: wall clock", "s", (), (usage.wall_seconds,)),
    )  # fmt: skip
    bench.fresh("e7")
    return Measured(lines, (f"autoseg_predict --model MODEL -i IMAGES -o OUT {' '.join(options)}",))


def _has_memory_option(bench: Bench) -> bool:
    log = bench.log("predict_help")
    log.unlink(missing_ok=True)
    run_child([*ours("predict"), "--help"], log=log, environment=OUR_PATH)
    return "--memory" in log.read_text()
