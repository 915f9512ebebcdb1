"""The estimate of what trying engines takes, against a measured process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from autoseg.files import to_json
from autoseg.inference.backends import BACKENDS
from autoseg.inference.backends.probe import Candidate, ProbeRequest
from autoseg.inference.backends.probe_memory import needed_bytes, probe_bytes
from autoseg.plans import LevelSpec, NetworkSpec

THREES = (3, 3, 3)
CHILD = """
import json, sys
from autoseg.files import from_json
from autoseg.inference.backends.probe import ProbeRequest, answer

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

found = answer(from_json(ProbeRequest, json.load(sys.stdin), "standard input"))
assert not any(trial.failure for trial in found.trials), found
print(peak())
"""


def request(widths: tuple[int, int], edge: int, *, classes: int = 3, timed: bool = True) -> ProbeRequest:
    first, second = widths
    levels = (
        LevelSpec((1, 1, 1), THREES, (first,), (), first, (first,)),
        LevelSpec((2, 2, 2), THREES, (second,)),
    )
    candidates = tuple(Candidate(name, "fp32") for name in BACKENDS)
    return ProbeRequest(candidates, NetworkSpec("unet", 3, 1, classes, levels), (edge,) * 3, 1, 1, timed)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    "asked",
    [request((8, 16), 16), request((64, 4096), 8), request((16, 32), 64), request((8, 16), 64, classes=40)],
    ids=["libraries", "weights", "maps", "logits"],
)
def test_the_estimate_holds_for_a_process(asked: ProbeRequest) -> None:
    """The process never takes more, and at least half of it."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(to_json(asked)), check=True, capture_output=True, text=True
    )
    measured = int(done.stdout)
    assert measured <= probe_bytes(asked)
    assert measured >= 0.5 * probe_bytes(asked)


def test_engines_tried_one_by_one_take_less() -> None:
    together = request((16, 32), 64)
    alone = replace(together, candidates=together.candidates[1:2])
    assert probe_bytes(replace(alone, timed=False)) < probe_bytes(alone) < probe_bytes(together)


def test_what_this_process_holds_counts_too() -> None:
    asked = request((8, 16), 16)
    child = probe_bytes(asked)  # which loads torch
    held = psutil.Process().memory_info().rss
    assert needed_bytes(asked) == pytest.approx(held + child, abs=held / 10)
