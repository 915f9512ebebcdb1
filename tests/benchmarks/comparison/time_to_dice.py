"""(c) The same minutes of training on the same cases; Dice on held-out cases, and curves on the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from autoseg.evaluation.report import read_report
from comparison.bench import Bench, Measured
from comparison.curves import Curve, draw_curves
from comparison.datasets import HIPPOCAMPUS, hippocampus, same_plans
from comparison.prediction import SEQUENTIAL, peer_words
from comparison.records import Line, Results, Target

DICE_TARGETS = {2: 0.82, 10: 0.875, 30: 0.885}
QUICK_SECONDS = 15.0
HOPELESS_DICE = 0.1
"""Where the peer's Dice on validation patches ends below, averaging over flips cannot help it, and is left out."""


def time_to_dice(bench: Bench, results: Results, minutes: int) -> Measured:
    """Train both sides for so many minutes on fold 0, predict the test cases, and score both alike."""
    seconds = QUICK_SECONDS if bench.quick else 60.0 * minutes
    raw = hippocampus(bench)
    same_plans(bench)
    folder = bench.fresh(f"c{minutes}")
    theirs = _peer(bench, results, folder, seconds)
    ours = _ours(bench, folder, seconds)
    dice = {side: _mean_dice(bench, folder / side, raw) for side in ("peer", "ours")}
    what = f"{minutes} minutes of Hippocampus"
    picture = bench.root / f"time_to_dice_{minutes}.png"
    draw_curves(picture, f"{what}: Dice on validation patches", (theirs, ours))
    note = (
        f"fold 0, {len(list((raw / 'imagesTs').iterdir()))} held-out cases; "
        f"{bench.peer_trainer} with its own plan, a polynomial schedule stretched over the time, and neither start-up "
        f"nor validation counted as time; its Dice on validation patches ends at {theirs.points[-1][1]:.3f}"
    )
    target = None if bench.quick or minutes not in DICE_TARGETS else Target("at least", DICE_TARGETS[minutes])
    lines = (
        Line(f"c{minutes}.dice", f"{what}: mean Dice", "Dice", (dice["peer"],), (dice["ours"],), target,
             has_ratio=False, note=note),
        Line(f"c{minutes}.iterations", f"{what}: iterations", "", (theirs.iterations,), (ours.iterations,),
             has_ratio=False),
    )  # fmt: skip
    curves = {"peer": theirs.points, "ours": ours.points}
    return Measured(lines, tuple(" ".join(words) for words in _our_commands(seconds)), {"curves": curves})


def _peer(bench: Bench, results: Results, folder: Path, seconds: float) -> Curve:
    """Train the peer by the clock, then predict with its own command."""
    home = folder / "peer_home"
    environment = bench.peer_environment(home, n_proc_DA=results.detail("b1", "n_proc_DA", 1))
    environment["nnUNet_preprocessed"] = str(same_plans(bench).peer / "preprocessed")
    request = {"dataset": HIPPOCAMPUS, "seconds": seconds, "trainer": bench.peer_trainer}
    answer, _ = bench.measure_peer("peer_training", request, environment)
    flips = 7 if answer["points"][-1][1] >= HOPELESS_DICE else 0
    words = peer_words(
        _test_images(bench), folder / "peer", flips=flips, setting=SEQUENTIAL, trainer=bench.peer_trainer
    )
    bench.run_peer("predict", *words, log="c_predict", environment=environment)
    shutil.rmtree(home)
    return Curve("nnU-Net", answer["points"], answer["iterations"])


def _our_commands(seconds: float) -> list[list[str]]:
    budget, plans = f"{seconds:g}s", f"budget_{seconds:g}s"
    plan = ["plan_and_preprocess", "-d", "4", "--device", "cpu", "--budget", budget, "--plans-name", plans]
    train = ["train", "4", "3d_fullres", "--folds", "0", "--device", "cpu", "--budget", budget, "--plans-name", plans]
    predict = ["predict", "-d", "4", "-c", "3d_fullres", "--device", "cpu", "--plans-name", plans]
    return [[f"autoseg_{words[0]}", *words[1:]] for words in (plan, train, predict)]


def _ours(bench: Bench, folder: Path, seconds: float) -> Curve:
    plan, train, predict = ([words[0].removeprefix("autoseg_"), *words[1:]] for words in _our_commands(seconds))
    bench.run_ours(*plan, log="c_ours")
    bench.run_ours(*train, "--restart", log="c_ours")
    bench.run_ours(*predict, "-i", _test_images(bench), "-o", folder / "ours", log="c_ours")
    model = bench.root / "results" / HIPPOCAMPUS / f"standard__budget_{seconds:g}s__3d_fullres"
    history = [json.loads(line) for line in (model / "fold_0" / "training.jsonl").read_text().splitlines()]
    points = [(epoch["seconds"] / 60, epoch["mean_validation_dice"]) for epoch in history]
    return Curve("autoseg", points, history[-1]["iterations"])


def _test_images(bench: Bench) -> Path:
    return bench.root / "raw" / HIPPOCAMPUS / "imagesTs"


def _mean_dice(bench: Bench, predictions: Path, raw: Path) -> float:
    report = predictions.with_name(f"{predictions.name}_evaluation.json")
    words: list[Any] = [predictions, raw / "labelsTs", "--no-surface", "--json", report]
    bench.run_ours("evaluate", *words, log="c_evaluate")
    return float(read_report(report).summary.mean_dice or 0.0)
