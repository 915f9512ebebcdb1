"""autoseg_plan_and_preprocess: check a raw dataset, measure it, plan, and prepare its cases."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.cli import app
from autoseg.cli.planning_options import PlanningDecisions, add_planning_options, planning_decisions

if TYPE_CHECKING:
    from autoseg.checking import Finding
    from autoseg.dataset import Dataset
    from autoseg.fingerprint import Fingerprint
    from autoseg.plans import Plans, Target
    from autoseg.workspace import Workspace

EPILOG = """examples:
  autoseg_plan_and_preprocess -d 4
  autoseg_plan_and_preprocess -d 4 --budget 30m --explain --dry-run
  autoseg_plan_and_preprocess -d 10 --cascade always --base-filters 16
  autoseg_plan_and_preprocess -d 10 --recipe head_neck_thesis --budget 30m
  autoseg_plan_and_preprocess -d 4 --device cuda --memory 24G --planner residual --plans-name residual

A run that was stopped continues when the same command is given again. Plans are replaced whole; axes are in the
order z,y,x. Without -c the 3D configurations are prepared; autoseg_train prepares what is missing."""

MOST_CPU_MEMORY = 16 * 1024**3
CPU_MEMORY_SHARE = 0.5
GPU_MEMORY = 8 * 1024**3
GRIDS = ("2d", "3d_lowres", "3d_fullres", "locate")


def make_parser() -> argparse.ArgumentParser:
    """The options of autoseg_plan_and_preprocess."""
    parser = app.parser("Check a raw dataset, measure it, plan its training, and prepare its cases.", EPILOG)
    parser.add_argument("-d", "--dataset", nargs="+", required=True, help="ids or names: 4, 004 or Dataset004_Name")
    parser.add_argument("--check-only", action="store_true", help="stop after the check of the dataset")
    parser.add_argument("--dry-run", action="store_true", help="plan, but write nothing")
    parser.add_argument("--explain", action="store_true", help="show every decision, and what each stage costs")
    parser.add_argument("-c", "--configuration", nargs="+", default=(), help="prepare only for these configurations")
    parser.add_argument("--workers", type=int, help="threads that read and prepare cases (default: all cores)")
    parser.add_argument("--recipe", metavar="NAME", help="a published system: head_neck_thesis, liver_coarse_to_fine")
    parser.add_argument("--plans-name", default="plans", help="name of the plans, to keep several (default: plans)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="what will train")
    parser.add_argument(
        "--memory", type=app.size_in_bytes, help="of training: 8G, 500M (GPU: 8G; CPU: half of what is free)"
    )
    parser.add_argument("--budget", type=app.seconds, help="time of training per fold and stage: 30m (CPU: 1h)")
    add_planning_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 2 for an error of the user's or in the dataset."""
    return app.run(plan_and_preprocess, make_parser(), argv)


def plan_and_preprocess(arguments: argparse.Namespace) -> int:
    """Work through the datasets; one with errors stops the command."""
    from autoseg.workspace import Workspace, check_plans_name

    check_plans_name(arguments.plans_name)
    workspace = Workspace.open(arguments.root)
    names = [workspace.dataset_name(name) for name in arguments.dataset]
    for name in dict.fromkeys(names):
        plan_dataset(name, workspace, arguments)
    return 0


def plan_dataset(
    name: str,
    workspace: Workspace,
    arguments: argparse.Namespace,
    measured: dict[str, Fingerprint] | None = None,
) -> Plans | None:
    """Check, measure, plan and, unless it is a dry run, write and prepare.

    measured: fingerprints of earlier calls, by dataset; gets this one's, so that dry runs read the volumes once.
    None with --check-only. Raises DatasetError for a dataset in which the check finds errors, which are shown.
    """
    from autoseg.dataset import read_dataset
    from autoseg.runtime import usable_cores

    decisions = planning_decisions(arguments)
    arguments.workers = arguments.workers or usable_cores()
    dataset = read_dataset(workspace.raw(name))
    print(f"{name}: {len(dataset.cases)} training cases in {dataset.folder}")
    measured = {} if measured is None else measured
    fingerprint_file = workspace.prepared(name) / "fingerprint.json"
    kept = None if arguments.check_only else _fresh_fingerprint(fingerprint_file, dataset)
    fingerprint = kept or _if_fresh(measured.get(name), dataset)
    if fingerprint is None:
        from autoseg.measuring import affordable_readers

        workers = min(arguments.workers, affordable_readers(dataset.cases))
        fingerprint = _examine(dataset, workers, check_only=arguments.check_only)
        if fingerprint is None:
            return None
    else:
        print("measured before; no training case has changed since.")
        from autoseg.checking import check_without_volumes

        _report(check_without_volumes(dataset), dataset)
    measured[name] = fingerprint
    if kept is None and not arguments.dry_run:
        from autoseg.fingerprint import write_fingerprint

        write_fingerprint(fingerprint_file, fingerprint)
    plans = _plan(dataset, fingerprint, decisions, arguments)
    if not arguments.dry_run:
        _write_and_prepare(dataset, plans, workspace, arguments)
    return plans


def _examine(dataset: Dataset, workers: int, *, check_only: bool) -> Fingerprint | None:
    """Show what the check finds, and measure, with what the check has read; DatasetError where there are errors."""
    from autoseg.checking import check_dataset
    from autoseg.cli.progress import CaseBar
    from autoseg.fingerprint import Onlooker, measure_fingerprint

    onlooker = None if check_only else Onlooker.of(dataset)
    with CaseBar("checking") as bar:
        findings = check_dataset(dataset, workers, bar.show, onlooker)
    _report(findings, dataset)
    if onlooker is None:
        return None
    with CaseBar("measuring") as bar:
        return measure_fingerprint(dataset, workers=workers, progress=bar.show, onlooker=onlooker)


def _report(findings: list[Finding], dataset: Dataset) -> None:
    from autoseg.checking import format_findings
    from autoseg.errors import DatasetError

    print(format_findings(findings))
    if any(finding.is_error for finding in findings):
        raise DatasetError(f"{dataset.name} cannot be used as it is.", "Correct what the check found, and start again.")


def _fresh_fingerprint(path: Path, dataset: Dataset) -> Fingerprint | None:
    """The fingerprint on disk, unless it is missing, of another version, or made from other files."""
    from autoseg.errors import FileError
    from autoseg.fingerprint import read_fingerprint

    try:
        return _if_fresh(read_fingerprint(path), dataset)
    except FileError:
        return None


def _if_fresh(fingerprint: Fingerprint | None, dataset: Dataset) -> Fingerprint | None:
    from autoseg.fingerprint import source_checksum

    return fingerprint if fingerprint is not None and fingerprint.made_from == source_checksum(dataset) else None


def _plan(
    dataset: Dataset, fingerprint: Fingerprint, decisions: PlanningDecisions, arguments: argparse.Namespace
) -> Plans:
    """Plan, and show the result."""
    from autoseg.registry import resolve
    from planners import PLANNERS
    from planners.explain import explain, summary
    from planners.options import PlanningOptions

    planner = resolve("planner", PLANNERS, decisions.planner)()
    target = training_target(arguments)
    speed = _seconds_per_multiply_add(target.device)
    options = PlanningOptions(arguments.plans_name, target, decisions.overrides, speed, decisions.recipe)
    plans = planner.plan(fingerprint, dataset.labels, options)
    print((explain if arguments.explain else summary)(plans, fingerprint, speed))
    return plans


def training_target(arguments: argparse.Namespace) -> Target:
    """What will train: the device, memory and time that were given, or what this machine has."""
    from autoseg.plans import Target
    from autoseg.runtime import available_memory_bytes, choose_device

    device = choose_device() if arguments.device == "auto" else arguments.device
    memory = GPU_MEMORY if device == "cuda" else _cpu_memory(available_memory_bytes())
    return Target(device, arguments.memory or memory, arguments.budget)


def _cpu_memory(available_bytes: int) -> int:
    """A share of what is free, rounded down to a power of two: what is free changes, and plans should not."""
    share = min(MOST_CPU_MEMORY, max(1, int(CPU_MEMORY_SHARE * available_bytes)))
    return 1 << (share.bit_length() - 1)


def _seconds_per_multiply_add(device: str) -> float | None:
    """Of this machine, with the threads that training will have; None for a GPU that is not here."""
    from autoseg.runtime import choose_device, seconds_per_multiply_add, use_threads

    use_threads()
    return seconds_per_multiply_add(device) if device in ("cpu", choose_device()) else None


def _write_and_prepare(dataset: Dataset, plans: Plans, workspace: Workspace, arguments: argparse.Namespace) -> None:
    from autoseg.plans import write_plans
    from autoseg.preprocessing.preparation import prepare_grids

    stages = [stage for name in _to_prepare(plans, arguments) for stage in plans.configuration_stages(name)]
    wanted = {stage.grid: stage for stage in stages if stage.region is None}
    path = workspace.plans_file(dataset.name, plans.name)
    write_plans(path, plans)
    print(f"plans: {path}")
    _remove_stale_grids(dataset.name, plans, workspace)
    folders = {workspace.grid(dataset.name, plans.name, grid): stage for grid, stage in wanted.items()}
    for folder, store in prepare_grids(dataset, plans, folders, workers=arguments.workers).items():
        print(f"prepared: {len(store.case_ids())} cases in {folder}")
    print(f"next: autoseg_train {_id_of(dataset)} {suggested_configuration(plans)}{app.further(arguments)}")


def _id_of(dataset: Dataset) -> int:
    return int(dataset.name[7:].partition("_")[0])


def suggested_configuration(plans: Plans) -> str:
    """The one to train: the recipe's, else the cascade, else the full resolution, as far as the plans have it."""
    from planners.recipes import find_recipe

    wanted = [find_recipe(plans.recipe).configuration] if plans.recipe else []
    return next(name for name in (*wanted, "3d_cascade", "3d_fullres", "2d") if name in plans.configurations)


def _to_prepare(plans: Plans, arguments: argparse.Namespace) -> Sequence[str]:
    """The configurations to prepare for: those asked for, else all that are 3D, of one stage or a cascade, else all."""
    from autoseg.plans import TWO_STAGE

    if arguments.configuration:
        return arguments.configuration
    volumes = [name for name in plans.configurations if name not in ("2d", TWO_STAGE)]
    return volumes or list(plans.configurations)


def _remove_stale_grids(dataset_name: str, plans: Plans, workspace: Workspace) -> None:
    """Delete prepared cases of stages that these plans no longer have."""
    import shutil

    for grid in set(GRIDS) - {stage.grid for stage in plans.stages.values()}:
        shutil.rmtree(workspace.grid(dataset_name, plans.name, grid), ignore_errors=True)
