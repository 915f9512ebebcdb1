"""The raw datasets that both sides read, and what both make of Hippocampus once for several benchmarks."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.errors import ResourceError
from autoseg.files import read_json, write_json
from autoseg.plans import Plans, StagePlan, read_plans
from comparison.bench import Bench
from comparison.volumes import Shape, Spacing, write_ct_dataset

HIPPOCAMPUS, CT = "Dataset004_Hippocampus", "Dataset300_SyntheticCT"
CT_SHAPE: Shape = (300, 512, 512)
CT_SPACINGS_MM: tuple[Spacing, ...] = ((3.0, 0.78, 0.78), (2.0, 0.9, 0.9))
"""Of the two cases: slices 3.8 and 2.2 times as far apart as pixels."""
QUICK_CASES, QUICK_TEST_CASES = 10, 3
QUICK_CT_SHAPE: Shape = (30, 64, 64)
PEER_RULES = ("--device", "cuda", "--memory", "8G")
"""Plans for a GPU of 8 GB are the peer's own, so that both sides prepare, train and predict the same thing."""
SAME_PLANS = "peer_rules"
LEAN_PLANS, LEAN_GIGABYTES = "nnUNetPlans_1G", 1


def hippocampus(bench: Bench) -> Path:
    """The raw dataset of 166 training and 42 test cases, converted once; a quick run has a few of them."""
    folder = bench.root / "raw" / HIPPOCAMPUS
    if (folder / "dataset.json").exists():
        return folder
    source = bench.real_data("Task04_Hippocampus")
    if bench.quick:
        source = _few_cases(source, bench.fresh("Task04_Hippocampus"))
    bench.run_ours("convert", "msd", source, "-d", 4, log="convert")
    return folder


def _few_cases(source: Path, folder: Path) -> Path:
    task = read_json(source / "dataset.json")
    task["training"] = task["training"][:QUICK_CASES]
    names = [Path(case[part]).name for case in task["training"] for part in ("image", "label")]
    for part in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / part).mkdir()
        kept = names if part.endswith("Tr") else sorted(p.name for p in (source / part).glob("*.nii.gz"))
        for name in dict.fromkeys(kept if part.endswith("Tr") else kept[:QUICK_TEST_CASES]):
            shutil.copyfile(source / part / name, folder / part / name)
    write_json(folder / "dataset.json", task)
    return folder


def synthetic_ct(bench: Bench) -> tuple[Path, Shape]:
    """The raw dataset of CT-like volumes, drawn once, and their shape."""
    folder, shape = bench.root / "raw" / CT, QUICK_CT_SHAPE if bench.quick else CT_SHAPE
    write_ct_dataset(folder, shape, CT_SPACINGS_MM)
    return folder, shape


@dataclass(frozen=True)
class SamePlans:
    """Hippocampus, planned and prepared alike by both sides.

    peer: the folder of the peer's preprocessed and results. plans, stage: autoseg's.
    """

    peer: Path
    plans: Plans
    stage: StagePlan

    @property
    def text(self) -> str:
        """The plan in a few words."""
        widths = "-".join(str(level.encoder_widths[-1]) for level in self.stage.network.levels)
        return f"patch {'x'.join(map(str, self.stage.patch_size))}, batch {self.stage.batch_size}, widths {widths}"


def same_plans(bench: Bench) -> SamePlans:
    """Plan and prepare on both sides, once; folds are those of autoseg. ResourceError where the plans differ."""
    raw, peer = hippocampus(bench), bench.root / "peer"
    prepared = bench.root / "prepared" / HIPPOCAMPUS
    plan = ["-d", 4, "--plans-name", SAME_PLANS, *PEER_RULES]
    bench.run_ours("plan_and_preprocess", *plan, "-c", "3d_fullres", log="same_plans")
    preprocessed = peer / "preprocessed" / HIPPOCAMPUS
    if not (preprocessed / "finished").exists():
        arguments = ["-d", 4, "-npfp", bench.cores, "-np", bench.cores, "-c", "3d_fullres", "--no_pbar"]
        environment = bench.peer_environment(peer, raw=raw.parent)
        bench.run_peer("plan_and_preprocess", *arguments, log="same_plans", environment=environment)
        _share_folds(raw, prepared, preprocessed)
        (preprocessed / "finished").touch()
    plans = read_plans(prepared / f"{SAME_PLANS}.json")
    found = SamePlans(peer, plans, plans.stages["3d_fullres"])
    _check_alike(found, json.loads((preprocessed / "nnUNetPlans.json").read_text()))
    return found


def lean_plans(bench: Bench) -> None:
    """Plan and prepare Hippocampus for the peer once more, for the least memory that its planner goes down to."""
    finished = bench.root / "peer" / "preprocessed" / HIPPOCAMPUS / f"finished_{LEAN_PLANS}"
    if finished.exists():
        return
    words = ["-d", 4, "-gpu_memory_target", LEAN_GIGABYTES, "-overwrite_plans_name", LEAN_PLANS, "-c", "3d_fullres"]
    words += ["-npfp", bench.cores, "-np", bench.cores, "--no_pbar"]
    environment = bench.peer_environment(bench.root / "peer", raw=hippocampus(bench).parent)
    bench.run_peer("plan_and_preprocess", *words, log="lean_plans", environment=environment)
    finished.touch()


def _share_folds(raw: Path, prepared: Path, preprocessed: Path) -> None:
    from autoseg.data.folds import dataset_folds, write_folds
    from autoseg.dataset import read_dataset

    write_folds(preprocessed / "splits_final.json", dataset_folds(read_dataset(raw), prepared))


def _check_alike(found: SamePlans, theirs: dict[str, Any]) -> None:
    configuration, stage = theirs["configurations"]["3d_fullres"], found.stage
    architecture = configuration["architecture"]["arch_kwargs"]
    compared = {
        "patch": (list(configuration["patch_size"]), list(stage.patch_size)),
        "batch": (configuration["batch_size"], stage.batch_size),
        "widths": (
            list(architecture["features_per_stage"]),
            [level.encoder_widths[-1] for level in stage.network.levels],
        ),
        "strides": ([list(s) for s in architecture["strides"]], [list(level.stride) for level in stage.network.levels]),
        "kernels": (
            [list(k) for k in architecture["kernel_sizes"]],
            [list(level.kernel) for level in stage.network.levels],
        ),
        "mirror axes": ([0, 1, 2], sorted(found.plans.mirror_axes)),
    }
    differing = [f"{name}: {peer} and {own}" for name, (peer, own) in compared.items() if peer != own]
    if differing:
        raise ResourceError(f"The plans of the two sides differ ({'; '.join(differing)}): nothing can be compared.")
