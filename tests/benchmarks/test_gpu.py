"""The benchmark of a GPU: its arithmetic, what it runs, and that it is left out where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from comparison import gpu
from comparison.bench import OUR_PATH, SIDES, Bench, LeftOut
from comparison.records import Results, RunIdentity

TINY = {"device": "cpu", "widths": [8, 8], "patch": [8, 8, 8], "batch": 1, "edge": 64, "warm_up": 1, "repeats": 2}


def test_teraflops_count_two_operations_per_multiply_add() -> None:
    assert gpu.teraflops(5e12, [1.0, 2.0]) == (10.0, 5.0)


def test_lines_tell_seconds_operations_and_the_share_of_the_peak() -> None:
    """One level, one channel in, width 8, 3^3 taps, three logits: a window has 27 * (8 + 64) + 24 per voxel."""
    work = 8**3 * (27 * (8 + 64) + 24)
    seconds = {"product": [1.0, 1.0], "step as it is": [1.0, 2.0], "window as it is": [0.5, 0.5]}
    sizes: dict[str, Any] = TINY | {"widths": [8], "batch": 2, "edge": 1000, "precision": "bf16"}
    lines = {line.key: line for line in gpu.lines_of(sizes | {"seconds": seconds})}
    assert lines["g1.product.tflops"].ours == (2e-3, 2e-3)
    assert lines["g1.window as it is.tflops"].ours == pytest.approx((4 * work / 1e12,) * 2)
    assert lines["g1.step as it is.tflops"].ours == pytest.approx((12 * work / 1e12, 6 * work / 1e12))
    assert lines["g1.step as it is.share"].ours_median == pytest.approx(100 * 9 * work / 2e9)
    assert lines["g1.step as it is.seconds"].ours == (1.0, 2.0)


def test_its_side_times_steps_and_windows(tmp_path: Path) -> None:
    """On the CPU, where nothing is compiled."""
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    request.write_text(json.dumps(TINY))
    subprocess.run([sys.executable, SIDES / "autoseg_gpu.py", request, answer], check=True, env=OUR_PATH)
    found = json.loads(answer.read_text())
    assert {name: len(seconds) for name, seconds in found["seconds"].items()} == {
        "product": 2,
        "step as it is": 2,
        "window as it is": 2,
    }
    assert all(line.ours_median for line in gpu.lines_of(found))


def test_without_a_gpu_it_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bench = Bench(tmp_path, None, quick=True, repeats=1, long=False)
    with pytest.raises(LeftOut, match="no GPU on this machine"):
        gpu.gpu(bench, Results(RunIdentity("", "", "", True)))


def test_a_gpu_reaches_some_of_its_peak(cuda: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, None, quick=True, repeats=1, long=False)
    lines = {line.key: line for line in gpu.gpu(bench, Results(RunIdentity("", "", "", True))).lines}
    assert {"g1.step compiled.share", "g1.window compiled.share"} <= set(lines)
    shares = [line.ours_median for key, line in lines.items() if key.endswith("share")]
    assert all(share is not None and 0 < share < 100 for share in shares)
