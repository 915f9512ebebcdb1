"""(a) From a raw dataset to prepared cases: check, fingerprint, plan, prepare."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.files import to_json
from comparison.bench import Bench, Measured, in_turn, values
from comparison.datasets import CT_SPACINGS_MM, PEER_RULES, hippocampus, synthetic_ct
from comparison.processes import ChildError, Usage
from comparison.records import Line, Results, Target

CONFIGURATIONS = ("3d_fullres", "3d_lowres")
"""What autoseg prepares; by default the peer prepares 2d as well."""
FASTER, LESS_MEMORY = Target("ratio", 8), Target("ratio", 5)


@dataclass(frozen=True)
class Case:
    """A dataset to be prepared. key: of the benchmark. raw: its folder. targets: of wall clock and of memory."""

    key: str
    what: str
    raw: Path
    targets: tuple[Target | None, Target | None]


def small_cases(bench: Bench, results: Results) -> Measured:
    """a1: Hippocampus."""
    raw = hippocampus(bench)
    count = len(list((raw / "imagesTr").iterdir()))
    return _compare(bench, Case("a1", f"prepare Hippocampus, {count} cases", raw, (None, None)), bench.repeats)


def large_cases(bench: Bench, results: Results) -> Measured:
    """a2: volumes as large as CTs; the peer takes minutes, so that one pair must do."""
    raw, shape = synthetic_ct(bench)
    what = f"prepare {len(CT_SPACINGS_MM)} synthetic CTs, {'x'.join(map(str, shape[::-1]))}"
    return _compare(bench, Case("a2", what, raw, (FASTER, LESS_MEMORY)), 1)


def _compare(bench: Bench, case: Case, repeats: int) -> Measured:
    _warm_file_cache(case.raw)
    tried: dict[str, Usage | str] = {}
    for name, words in _settings(bench.cores).items():
        try:
            tried[name] = _peer(bench, case, words)
        except ChildError as error:
            tried[name] = str(error)
    worked = {name: usage for name, usage in tried.items() if isinstance(usage, Usage)}
    if not worked:
        raise ChildError(f"the peer prepared {case.raw.name} with no setting: {tried}")
    fastest = min(worked, key=lambda name: worked[name].wall_seconds)
    words = _settings(bench.cores)[fastest]
    theirs, ours = in_turn(
        lambda: _peer(bench, case, words), lambda: _ours(bench, case), repeats, first=worked[fastest]
    )
    leanest = min(worked, key=lambda name: worked[name].peak_bytes)
    note = f"the peer's best of {', '.join(f'{n} ({_told(u)})' for n, u in tried.items())} is {fastest}"
    lines = (
        Line(f"{case.key}.wall", f"{case.what}: wall clock", "s", values(theirs, "wall_seconds"),
             values(ours, "wall_seconds"), case.targets[0], note=note),
        Line(f"{case.key}.cpu", f"{case.what}: processor time", "s", values(theirs, "cpu_seconds"),
             values(ours, "cpu_seconds")),
        Line(f"{case.key}.memory", f"{case.what}: peak memory", "bytes", values(theirs, "peak_bytes"),
             values(ours, "peak_bytes")),
        Line(f"{case.key}.least_memory", f"{case.what}: peak memory, the peer's leanest setting", "bytes",
             (float(worked[leanest].peak_bytes),) * repeats, values(ours, "peak_bytes"), case.targets[1],
             note=f"the peer with {leanest} took {worked[leanest].wall_seconds:.0f} s"),
    )  # fmt: skip
    number = int(case.raw.name[7:10])
    commands = (
        f"nnUNetv2_plan_and_preprocess {' '.join(_peer_words(number, words))}",
        f"autoseg_plan_and_preprocess {' '.join(_our_words(number))}",
    )
    return Measured(lines, commands, {"tried": to_json(tried), "setting": fastest})


def _settings(cores: int) -> dict[str, list[str]]:
    """The peer's ways to share the work among processes."""
    found: dict[str, list[str]] = {"its defaults": []}
    for number in sorted({1, cores}):
        found[f"-npfp {number} -np {number}"] = ["-npfp", str(number), "-np", str(number)]
    return found


def _peer_words(number: int, setting: Sequence[str]) -> list[str]:
    return ["-d", str(number), "--verify_dataset_integrity", "--no_pbar", "-c", *CONFIGURATIONS, *setting]


def _our_words(number: int) -> list[str]:
    return ["-d", str(number), *PEER_RULES]


def _peer(bench: Bench, case: Case, setting: Sequence[str]) -> Usage:
    environment = bench.peer_environment(bench.fresh(f"{case.key}_peer"), raw=case.raw.parent)
    words = _peer_words(int(case.raw.name[7:10]), setting)
    return bench.run_peer("plan_and_preprocess", *words, log=case.key, environment=environment)


def _ours(bench: Bench, case: Case) -> Usage:
    root = bench.fresh(f"{case.key}_ours")
    (root / "raw").symlink_to(case.raw.parent)
    usage = bench.run_ours("plan_and_preprocess", *_our_words(int(case.raw.name[7:10])), log=case.key, root=root)
    shutil.rmtree(root / "prepared")
    return usage


def _told(usage: Usage | str) -> str:
    if isinstance(usage, str):
        return f"failed: {usage.splitlines()[0]}"
    return f"{usage.wall_seconds:.1f} s, {usage.peak_bytes / 1024**3:.2f} GiB"


def _warm_file_cache(folder: Path) -> None:
    """Read everything once, so that whoever comes first does not pay for the disk."""
    for path in folder.rglob("*.nii.gz"):
        path.read_bytes()
