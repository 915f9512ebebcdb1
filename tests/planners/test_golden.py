"""Plans against those of nnU-Net 2.8.1 (ExperimentPlanner, and nnUNetPlannerResEncM), field by field.

golden_plans.json: 12 made-up data sets for an 8 GB target. random_plans.json: random ones, some with other memory or
with a given spacing. Both were written by nnU-Net itself; cases are [spacing, shape, how many].
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.fingerprint import Fingerprint
from autoseg.plans import Plans, Target
from autoseg.registry import resolve
from planners import PLANNERS
from planners.options import GIBIBYTE, Overrides, PlanningOptions

FOLDER = Path(__file__).parent
GOLDEN = json.loads((FOLDER / "golden_plans.json").read_text())
RANDOM = json.loads((FOLDER / "random_plans.json").read_text())
SHARED_FIELDS = ("patch", "batch", "spacing", "median", "batch_dice", "strides", "kernels")


def make_plans(entry: dict[str, Any], planner: str) -> Plans:
    rows = [(spacing, shape) for spacing, shape, count in entry["cases"] for _ in range(count)]
    fingerprint = Fingerprint.from_summary(
        [spacing for spacing, _ in rows],
        [shape for _, shape in rows],
        labels=entry["labels"],
        channels=entry["channels"],
    )
    options = PlanningOptions(
        target=Target("cuda", entry.get("memory_gb", 8) * GIBIBYTE),
        overrides=Overrides(spacing_mm=tuple(entry["spacing_mm"]) if entry.get("spacing_mm") else None),
    )
    return resolve("planner", PLANNERS, planner)().plan(fingerprint, None, options)


def as_peer(plans: Plans) -> dict[str, dict[str, Any]]:
    """Stages in the words of the golden file."""
    found: dict[str, dict[str, Any]] = {}
    for name, stage in plans.stages.items():
        levels = stage.network.levels
        found[name] = {
            "patch": list(stage.patch_size),
            "batch": stage.batch_size,
            "spacing": list(stage.spacing_mm),
            "median": list(stage.median_shape),
            "batch_dice": stage.batch_dice,
            "strides": [list(level.stride) for level in levels],
            "kernels": [list(level.kernel) for level in levels],
            "features": [level.encoder_widths[-1] for level in levels],
        }
        if stage.previous_stage:
            found[name] = {"inherits_from": "3d_fullres", "previous_stage": stage.previous_stage}
    return found


@pytest.mark.parametrize("planner", ["default", "residual"])
@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_plans_equal_the_golden_ones(name: str, planner: str) -> None:
    assert as_peer(make_plans(GOLDEN[name], planner)) == GOLDEN[name][planner]


@pytest.mark.parametrize("planner", ["default", "residual"])
@pytest.mark.parametrize("name", sorted(RANDOM))
def test_plans_equal_those_of_random_fingerprints(name: str, planner: str) -> None:
    assert as_peer(make_plans(RANDOM[name], planner)) == RANDOM[name][planner]


def test_the_golden_file_holds_every_field() -> None:
    stages = [stage for entry in GOLDEN.values() for p in ("default", "residual") for stage in entry[p].values()]
    planned = [stage for entry in GOLDEN.values() for stage in entry["default"].values() if "patch" in stage]
    assert sum(len(stage) for stage in stages) == 504
    assert sum(field in stage for stage in planned for field in SHARED_FIELDS) == 210


@pytest.mark.parametrize("name", ["liver", "ribfrac"])
def test_the_guided_stage_equals_the_full_resolution_but_for_its_input(name: str) -> None:
    plans = make_plans(GOLDEN[name], "default")
    full, guided = plans.stages["3d_fullres"], plans.stages["3d_cascade_fullres"]
    classes = GOLDEN[name]["labels"] - 1
    assert guided.network.in_channels == full.network.in_channels + classes
    assert (guided.patch_size, guided.batch_size, guided.batch_dice) == (full.patch_size, full.batch_size, True)
    assert guided.network.levels == full.network.levels


def test_residual_encoders_have_the_peers_blocks() -> None:
    levels = make_plans(GOLDEN["liver"], "residual").stages["3d_fullres"].network.levels
    assert [len(level.encoder_widths) for level in levels] == [1, 3, 4, 6, 6, 6]
    assert [len(level.decoder_widths) for level in levels] == [1, 1, 1, 1, 1, 0]
