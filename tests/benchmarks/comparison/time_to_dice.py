"""(c) The same minutes of training on the same cases; Dice on held-out cases, and curves on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.evaluation.report import read_report
from autoseg.files import from_json, to_json
from comparison.bench import Bench, Measured
from comparison.curves import Curve, draw_curves
from comparison.datasets import HIPPOCAMPUS, LEAN_PLANS, hippocampus, lean_plans, same_plans
from comparison.prediction import SEQUENTIAL, peer_words
from comparison.processes import ChildError
from comparison.records import Line, Results, Target

DICE_TARGETS = {2: 0.82, 10: 0.875, 30: 0.885}
QUICK_SECONDS = 15.0
TRIAL_MINUTES = 2
"""For which each of the peer's ways is tried."""
HOPELESS_DICE = 0.1
"""Where the peer's Dice on validation patches ends below, averaging over flips cannot help it, and is left out."""


@dataclass(frozen=True)
class Way:
    """How the peer trains: one of its trainers, on one of its plans."""

    trainer: str
    plans: str

    def __str__(self) -> str:
        return f"{self.trainer} on {self.plans}"


WAYS = tuple(
    Way(trainer, plans)
    for trainer in ("nnUNetTrainer", "nnUNetTrainerAdam1en3")
    for plans in ("nnUNetPlans", LEAN_PLANS)
)
"""The peer's own ways that may suit a CPU: its usual optimiser or Adam, its usual plan or that for the least memory."""


@dataclass(frozen=True)
class Training:
    """One of the peer's trainings, finished. home: the folder with its results."""

    home: Path
    points: list[tuple[float, float]]
    iterations: int

    @property
    def dice(self) -> float:
        """On patches of the validation cases, in the end."""
        return self.points[-1][1]


def time_to_dice(bench: Bench, results: Results, minutes: int) -> Measured:
    """Train both sides for so many minutes on fold 0, predict the test cases, and score both alike."""
    seconds = QUICK_SECONDS if bench.quick else 60.0 * minutes
    raw = hippocampus(bench)
    same_plans(bench)
    lean_plans(bench)
    folder = bench.fresh(f"c{minutes}")
    way, tried, training = _peer(bench, results, folder, seconds)
    ours = _ours(bench, folder, seconds)
    dice = {side: _mean_dice(bench, folder / side, raw) for side in ("peer", "ours")}
    what = f"{minutes} minutes of Hippocampus"
    picture = bench.root / f"time_to_dice_{minutes}.png"
    theirs = Curve("nnU-Net", training.points, training.iterations)
    draw_curves(picture, f"{what}: Dice on validation patches", (theirs, ours))
    others = ", ".join(f"{name} {'failed' if value is None else f'{value:.3f}'}" for name, value in tried.items())
    held_out = len(list((raw / "imagesTs").iterdir()))
    note = (
        f"fold 0, {held_out} held-out cases; {way}, the peer's best of {others} (Dice on validation patches after "
        f"{TRIAL_MINUTES} minutes), with a polynomial schedule stretched over the time, and "
        f"neither start-up nor validation counted as time; it ends at {training.dice:.3f}"
    )
    target = None if bench.quick or minutes not in DICE_TARGETS else Target("at least", DICE_TARGETS[minutes])
    lines = (
        Line(f"c{minutes}.dice", f"{what}: mean Dice", "Dice", (dice["peer"],), (dice["ours"],), target,
             has_ratio=False, note=note),
        Line(f"c{minutes}.iterations", f"{what}: iterations", "", (training.iterations,), (ours.iterations,),
             has_ratio=False),
    )  # fmt: skip
    details = {"curves": {"peer": training.points, "ours": ours.points}, "way": to_json(way), "tried": tried}
    return Measured(lines, tuple(" ".join(words) for words in _our_commands(seconds)), details)


def _peer(
    bench: Bench, results: Results, folder: Path, seconds: float
) -> tuple[Way, dict[str, float | None], Training]:
    """Train the peer by the clock in its best way, then predict with its own command. Also what each way reached."""
    known = results.detail(f"c{TRIAL_MINUTES}", "way", None)
    train = partial(_train, bench, results, folder)
    if known is not None:
        way, tried = from_json(Way, known, bench.results_file), results.detail(f"c{TRIAL_MINUTES}", "tried", {})
        training = train(way, seconds)
    else:
        trial = min(seconds, 60.0 * TRIAL_MINUTES)
        trials = {one: _attempted(train, one, trial) for one in WAYS}
        way, tried = best_way(trials), {str(one): found.dice if found else None for one, found in trials.items()}
        training = (trials[way] if trial == seconds else None) or train(way, seconds)
    flips = 7 if training.dice >= HOPELESS_DICE else 0
    words = peer_words(
        _test_images(bench), folder / "peer", flips=flips, setting=SEQUENTIAL, trainer=way.trainer, plans=way.plans
    )
    environment = _environment(bench, results, training.home)
    bench.run_peer("predict", *words, log="c_predict", environment=environment)
    for home in folder.glob("*_home"):
        shutil.rmtree(home)
    return way, tried, training


def best_way(trials: Mapping[Way, Training | None]) -> Way:
    """The way that reached most. None: it failed. Raises ChildError where all did."""
    worked = {way: found.dice for way, found in trials.items() if found}
    if not worked:
        raise ChildError(f"the peer trained in no way: {', '.join(map(str, trials))}")
    return max(worked, key=lambda way: worked[way])


def _attempted(train: Callable[[Way, float], Training], way: Way, seconds: float) -> Training | None:
    """None where the peer fails: its Adam trainers are found only where torchvision fits torch's build."""
    try:
        return train(way, seconds)
    except ChildError:
        return None


def _train(bench: Bench, results: Results, folder: Path, way: Way, seconds: float) -> Training:
    home = folder / f"{way.trainer}_{way.plans}_{seconds:g}_home"
    request = {"dataset": HIPPOCAMPUS, "seconds": seconds, "trainer": way.trainer, "plans": way.plans}
    answer, _ = bench.measure_peer("peer_training", request, _environment(bench, results, home))
    return Training(home, [tuple(point) for point in answer["points"]], answer["iterations"])


def _environment(bench: Bench, results: Results, home: Path) -> dict[str, str]:
    environment = bench.peer_environment(home, n_proc_DA=results.detail("b1", "n_proc_DA", 1))
    return environment | {"nnUNet_preprocessed": str(same_plans(bench).peer / "preprocessed")}


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
