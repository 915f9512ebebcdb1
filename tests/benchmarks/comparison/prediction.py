"""(d) Prediction by the commands that users run: per case, with and without flips, and start-up apart.

When a case is finished is read off its output file. The time per case is that from the first finished case to the last,
over their number less one; start-up is what the first one took longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg.compression.int8 import is_installed
from autoseg.files import to_json
from comparison.bench import Bench, Measured, in_turn, values
from comparison.datasets import HIPPOCAMPUS, SAME_PLANS, SamePlans, hippocampus, same_plans
from comparison.processes import Usage
from comparison.records import Line, Results, Target
from comparison.volumes import write_nifti

SEQUENTIAL = ("-npp", "0", "-nps", "0")
SETTINGS = {"no workers": SEQUENTIAL, "one reader, one writer": ("-npp", "1", "-nps", "1")}
"""The peer's ways to read ahead and write behind."""
CASES, LARGE_CASES = 6, 3
LARGE_SHAPE = (60, 84, 60)
"""Eight windows of 40x56x40 that overlap by half."""
FASTER = Target("ratio", 4)
INT8_NOTE = "calibrated on noise: the time of int8, whose Dice the trainer int8 measures before it is used"
ANSWER_SECONDS = Target("at most", 4.0)


@dataclass(frozen=True)
class Run:
    """One call of a command. per_case, startup: seconds."""

    per_case: float
    startup: float
    wall_seconds: float
    peak_bytes: float


@dataclass(frozen=True)
class Inputs:
    """What is predicted. images: a folder of at least two cases."""

    name: str
    what: str
    images: Path


def prediction(bench: Bench, results: Results) -> Measured:
    """d1: Hippocampus and larger volumes, flips 0 and 7, with untrained networks of one plan."""
    plans = same_plans(bench)
    model = _untrained_models(bench, plans)
    int8 = _untrained_models(bench, plans, int8=True) if is_installed() else None
    small, large = _small(bench, plans), _large(bench, plans)
    setting, tried = _best_setting(bench, plans, small)
    lines: list[Line] = []
    for inputs, flips in ((small, 0), (small, 7), (large, 0), (large, 7)):
        repeats = bench.repeats if inputs is small and not flips else 1
        lines += _compare(bench, plans, (model, int8), inputs, flips=flips, setting=setting, repeats=repeats)
    lines += _single(bench, plans, model, small, setting)
    told = ", ".join(f"{name}: {run.per_case:.2f} s" for name, run in tried.items())
    note = f"untrained, {plans.text}, overlap .5; seconds per case of the peer without flips: {told}"
    lines[0] = replace(lines[0], note=note)
    commands = tuple(
        f"{command} -i IMAGES -o OUT {words}"
        for command, words in (
            ("nnUNetv2_predict", f"-d 4 -c 3d_fullres -f 0 -device cpu {' '.join(SETTINGS[setting])} [--disable_tta]"),
            ("autoseg_predict", "--model MODEL --device cpu --flips 0 (or 7)"),
        )
    )
    return Measured(tuple(lines), commands, {"setting": setting, "tried": to_json(tried)})


def peer_words(
    images: Path,
    out: Path,
    *,
    flips: int,
    setting: Sequence[str],
    trainer: str = "nnUNetTrainer",
    plans: str = "nnUNetPlans",
) -> list[str]:
    """The options of nnUNetv2_predict."""
    words = ["-d", "4", "-c", "3d_fullres", "-f", "0", "-tr", trainer, "-p", plans]
    words += ["-device", "cpu", "--disable_progress_bar"]
    return [*words, "-i", str(images), "-o", str(out), *setting, *([] if flips else ["--disable_tta"])]


def _untrained_models(bench: Bench, plans: SamePlans, *, int8: bool = False) -> Path:
    """A network with random weights on both sides; autoseg's model folder. int8: which computes in int8."""
    folder = bench.root / "untrained" / ("int8__3d_fullres" if int8 else "model__3d_fullres")
    checkpoint = plans.peer / "results" / HIPPOCAMPUS / "nnUNetTrainer__nnUNetPlans__3d_fullres" / "fold_0"
    if not (checkpoint / "checkpoint_final.pth").exists():
        environment = bench.peer_environment(plans.peer)
        bench.measure_peer("peer_untrained_model", {"dataset": HIPPOCAMPUS}, environment)
    request = {
        "root": str(bench.root),
        "dataset": HIPPOCAMPUS,
        "plans": SAME_PLANS,
        "folder": str(folder),
        "int8": int8,
    }
    bench.measure_ours("autoseg_untrained_model", request)
    return folder


def _small(bench: Bench, plans: SamePlans) -> Inputs:
    folder, count = bench.fresh("d_small"), 2 if bench.quick else CASES
    for path in sorted((hippocampus(bench) / "imagesTs").glob("*.nii.gz"))[:count]:
        (folder / path.name).symlink_to(path)
    return Inputs("small", f"Hippocampus, {count} cases", folder)


def _large(bench: Bench, plans: SamePlans) -> Inputs:
    folder = bench.fresh("d_large")
    shape = plans.stage.patch_size if bench.quick else LARGE_SHAPE
    for number in range(2 if bench.quick else LARGE_CASES):
        array = np.random.default_rng(number).normal(100, 20, shape).astype(np.float32)
        write_nifti(folder / f"noise_{number}_0000.nii.gz", array, (1.0, 1.0, 1.0))
    windows = "one window" if bench.quick else "8 windows"
    return Inputs("large", f"{'x'.join(map(str, shape))} voxels, {windows}", folder)


def _best_setting(bench: Bench, plans: SamePlans, inputs: Inputs) -> tuple[str, dict[str, Run]]:
    tried = {name: _peer(bench, plans, inputs, flips=0, setting=words) for name, words in SETTINGS.items()}
    return min(tried, key=lambda name: tried[name].per_case), tried


def _compare(
    bench: Bench,
    plans: SamePlans,
    models: tuple[Path, Path | None],
    inputs: Inputs,
    *,
    flips: int,
    setting: str,
    repeats: int,
) -> list[Line]:
    """models: autoseg's, as it is and, where that can be had, in int8."""

    def ours() -> list[Run]:
        return [_ours(bench, model, inputs.images, flips=flips) for model in models if model]

    ours()  # what autoseg measures of this machine is remembered from here on
    theirs, mine = in_turn(lambda: _peer(bench, plans, inputs, flips=flips, setting=SETTINGS[setting]), ours, repeats)
    key, what = f"d.{inputs.name}.{flips}", f"predict {inputs.what}, {flips} flips"
    usual = _lines(key, what, theirs, [runs[0] for runs in mine], FASTER)
    if models[1] is None:
        return usual
    return usual + _lines(f"{key}.int8", f"{what}, in int8", theirs, [runs[1] for runs in mine], note=INT8_NOTE)


def _lines(
    key: str, what: str, theirs: Sequence[Run], mine: Sequence[Run], target: Target | None = None, *, note: str = ""
) -> list[Line]:
    seconds = values(theirs, "per_case"), values(mine, "per_case")
    startup = values(theirs, "startup"), values(mine, "startup")
    peaks = values(theirs, "peak_bytes"), values(mine, "peak_bytes")
    return [
        Line(f"{key}.case", f"{what}: per case", "s", *seconds, target, note=note),
        Line(f"{key}.startup", f"{what}: start-up", "s", *startup),
        Line(f"{key}.memory", f"{what}: peak memory", "bytes", *peaks),
    ]


def _single(bench: Bench, plans: SamePlans, model: Path, inputs: Inputs, setting: str) -> list[Line]:
    """One small volume, from the command to its end."""
    image = sorted(inputs.images.iterdir())[0]
    folder = bench.fresh("d_single")
    (folder / image.name).symlink_to(image.resolve())
    one = Inputs("single", "one small volume", folder)
    theirs, mine = in_turn(
        lambda: _peer(bench, plans, one, flips=0, setting=SETTINGS[setting]),
        lambda: _ours(bench, model, folder, flips=0),
        bench.repeats,
    )
    seconds = values(theirs, "wall_seconds"), values(mine, "wall_seconds")
    return [Line("d.single", "predict one small volume, the whole command", "s", *seconds, ANSWER_SECONDS)]


def _peer(bench: Bench, plans: SamePlans, inputs: Inputs, *, flips: int, setting: Sequence[str]) -> Run:
    environment, out = bench.peer_environment(plans.peer), bench.fresh("d_out")
    words = peer_words(inputs.images, out, flips=flips, setting=setting)
    return _run_of(bench.run_peer("predict", *words, log="d", environment=environment), out)


def _ours(bench: Bench, model: Path, images: Path, *, flips: int) -> Run:
    out = bench.fresh("d_out")
    words = ["--model", model, "-i", images, "-o", out, "--device", "cpu", "--flips", flips]
    return _run_of(bench.run_ours("predict", *words, log="d"), out)


def _run_of(usage: Usage, out: Path) -> Run:
    return split_times(usage, sorted(path.stat().st_mtime for path in out.glob("*.nii.gz")))


def split_times(usage: Usage, finished: Sequence[float]) -> Run:
    """Per case and start-up, from when each case was finished (seconds of the epoch, sorted, at least one).

    A single case cannot be split: all of it counts as start-up.
    """
    per_case = (finished[-1] - finished[0]) / (len(finished) - 1) if len(finished) > 1 else 0.0
    startup = finished[0] - usage.started - per_case
    return Run(per_case, max(0.0, startup), usage.wall_seconds, float(usage.peak_bytes))
