"""What every registered planner must do."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.networks import check_spec
from autoseg.plans import Target, read_plans, write_plans
from autoseg.registry import resolve
from planners import PLANNERS
from planners.options import GIBIBYTE, PlanningOptions

FINGERPRINTS = {
    "small": Fingerprint.from_summary([[1.0, 1.0, 1.0]] * 9, [[36, 50, 35]] * 9, labels=3),
    "large": Fingerprint.from_summary([[3.0, 1.0, 1.0]] * 9, [[120, 512, 512]] * 9, labels=9, channels=2),
    "thin": Fingerprint.from_summary([[5.0, 0.5, 0.5]] * 9, [[3, 256, 256]] * 9, labels=2),
    "one slice": Fingerprint.from_summary([[5.0, 0.5, 0.5]] * 9, [[1, 256, 256]] * 9, labels=2),
    "one case": Fingerprint.from_summary([[2.0, 1.0, 4.0]], [[31, 77, 20]], labels=2),
}


@pytest.mark.parametrize("name", sorted(PLANNERS))
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("fingerprint", FINGERPRINTS.values(), ids=FINGERPRINTS)
class TestPlanner:
    def test_plans_are_complete_and_buildable(self, name: str, device: str, fingerprint: Fingerprint) -> None:
        plans = self.plan(name, device, fingerprint)
        assert plans.planner == name
        assert plans.fingerprint == fingerprint.checksum
        assert sorted(plans.transpose) == [0, 1, 2]
        assert set(plans.stages) == {stage for chain in plans.configurations.values() for stage in chain}
        for stage in plans.stages.values():
            check_spec(stage.network)
            edges = zip(stage.patch_size, stage.network.divisor, strict=True)
            assert all(edge % step == 0 and edge // step >= 2 for edge, step in edges)
            assert len(stage.spacing_mm) == len(stage.median_shape) == len(stage.patch_size)
            assert stage.previous_stage is None or stage.previous_stage in plans.stages

    def test_plans_survive_json(self, name: str, device: str, fingerprint: Fingerprint, tmp_path: Path) -> None:
        plans = self.plan(name, device, fingerprint)
        write_plans(tmp_path / "plans.json", plans)
        assert read_plans(tmp_path / "plans.json") == plans

    def test_planning_twice_gives_the_same(self, name: str, device: str, fingerprint: Fingerprint) -> None:
        assert self.plan(name, device, fingerprint) == self.plan(name, device, fingerprint)

    @staticmethod
    def plan(name: str, device: str, fingerprint: Fingerprint):
        options = PlanningOptions(target=Target(device, 8 * GIBIBYTE))
        return resolve("planner", PLANNERS, name)().plan(fingerprint, None, options)


@pytest.mark.parametrize("name", sorted(PLANNERS))
def test_regions_have_an_output_each_and_no_background(name: str) -> None:
    labels = Labels({"whole": (1, 2, 3), "core": (2, 3)}, ignore=4, region_values=(1, 2))
    plans = resolve("planner", PLANNERS, name)().plan(FINGERPRINTS["large"], labels)
    assert plans.stages["3d_fullres"].network.out_channels == 2
    assert plans.stages["3d_cascade_fullres"].network.in_channels == 4
