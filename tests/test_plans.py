from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.errors import FormatError, PlanningError
from autoseg.fingerprint import Fingerprint
from autoseg.plans import Plans, read_plans, write_plans
from planners.default import DefaultPlanner


@pytest.fixture(scope="module")
def plans() -> Plans:
    fingerprint = Fingerprint.from_summary([[1.0, 1.0, 1.0]] * 9, [[36, 50, 35]] * 9, labels=3)
    return DefaultPlanner().plan(fingerprint)


def test_plans_survive_json(plans: Plans, tmp_path: Path) -> None:
    write_plans(tmp_path / "plans.json", plans)
    assert read_plans(tmp_path / "plans.json") == plans


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda values: values.pop("transpose"), "missing key 'transpose'"),
        (lambda values: values.update(colour=1), "unknown key 'colour'"),
        (lambda values: values.update(schema=99), "schema must be 1, not 99"),
        (lambda values: values["stages"]["2d"].update(batch_size="two"), "batch_size must be int, not 'two'"),
    ],
)
def test_a_wrong_key_is_named(plans: Plans, tmp_path: Path, edit, message: str) -> None:
    path = tmp_path / "plans.json"
    write_plans(path, plans)
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))
    with pytest.raises(FormatError, match=message):
        read_plans(path)


def test_an_unknown_configuration_lists_the_known_ones(plans: Plans) -> None:
    with pytest.raises(PlanningError, match="They have 2d, 3d_fullres"):
        plans.configuration_stages("3d_lowres")
    with pytest.raises(PlanningError, match="--cascade always"):
        plans.configuration_stages("3d_cascade")


def test_a_guided_stage_reads_the_grid_of_the_full_resolution(plans: Plans) -> None:
    from dataclasses import replace

    guided = replace(plans.stages["3d_fullres"], name="3d_cascade_fullres", previous_stage="3d_lowres")
    assert guided.grid == plans.stages["3d_fullres"].grid == "3d_fullres"


def test_the_divisor_is_the_product_of_strides(plans: Plans) -> None:
    assert plans.stages["3d_fullres"].network.divisor == (8, 8, 8)
    assert plans.stages["2d"].network.divisor == (8, 8)
    assert plans.stages["2d"].is_2d
