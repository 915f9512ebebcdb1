from __future__ import annotations

import pytest

from autoseg.errors import PlanningError
from autoseg.fingerprint import Fingerprint
from autoseg.plans import Plans, Target
from planners.default import DefaultPlanner
from planners.options import GIBIBYTE, Overrides, PlanningOptions
from planners.rules import budget

LARGE = Fingerprint.from_summary([[2.0, 1.5, 1.5]] * 20, [[150, 256, 256]] * 20, labels=4)
SPEED = 6e-12


def plan(
    seconds: float | None,
    *,
    fingerprint: Fingerprint = LARGE,
    memory: int = 8 * GIBIBYTE,
    speed: float | None = SPEED,
    **overrides: object,
) -> Plans:
    options = PlanningOptions(
        target=Target("cpu", memory, seconds),
        overrides=Overrides(**overrides),  # type: ignore[arg-type]
        seconds_per_multiply_add=speed,
    )
    return DefaultPlanner().plan(fingerprint, None, options)


def work(plans: Plans) -> int:
    stage = plans.stages["3d_fullres"]
    return budget.PASSES * stage.batch_size * budget.multiply_adds(stage.network, stage.patch_size)


@pytest.mark.parametrize("seconds", [600, 3600, 36000])
def test_the_budget_buys_the_wanted_iterations(seconds: float) -> None:
    assert seconds / (work(plan(seconds)) * SPEED) >= budget.wanted_iterations(seconds)


def test_more_time_never_gives_less_work_per_iteration() -> None:
    works = [work(plan(seconds)) for seconds in (60, 600, 3600, 36000)]
    assert works == sorted(works)
    assert works[0] < works[-1]


def test_a_slower_machine_gets_a_cheaper_network() -> None:
    assert work(plan(1800, speed=4e-11)) < work(plan(1800, speed=2e-12))


def test_a_busy_machines_speed_is_not_believed() -> None:
    slowest = budget.SLOWEST_SECONDS_PER_MULTIPLY_ADD
    assert plan(1800, speed=1e-8).stages == plan(1800, speed=slowest).stages


@pytest.mark.parametrize("seconds", [1, 600, 1e6])
def test_widths_are_multiples_of_eight_and_edges_at_least_four(seconds: float) -> None:
    for stage in plan(seconds).stages.values():
        widths = [width for level in stage.network.levels for width in level.encoder_widths]
        bottom = [edge // step for edge, step in zip(stage.patch_size, stage.network.divisor, strict=True)]
        assert all(width % 8 == 0 for width in widths)
        assert max(widths) <= (512 if stage.is_2d else 320)
        assert min(bottom) >= 4


def test_an_hour_is_the_default_of_a_cpu() -> None:
    assert plan(None).stages == plan(3600).stages
    assert plan(None).stages["3d_fullres"].training.budget_seconds == 3600


def test_memory_limits_the_choice() -> None:
    small = plan(1e6, memory=GIBIBYTE // 2).stages["3d_fullres"]
    assert budget.training_bytes(small.network, small.patch_size, small.batch_size) <= GIBIBYTE // 2


def test_overrides_leave_the_rest_to_the_budget() -> None:
    given = plan(600, base_filters=12).stages["3d_fullres"]
    assert given.network.levels[0].encoder_widths[0] == 12
    assert plan(600, batch_size=5).stages["3d_fullres"].batch_size == 5
    assert plan(600, patch_size=(64, 64, 96)).stages["3d_fullres"].patch_size == (64, 64, 96)


def test_large_cases_get_a_low_resolution_on_a_cpu() -> None:
    plans = plan(36000)
    full, low = plans.stages["3d_fullres"], plans.stages["3d_lowres"]
    reduction = [a / b for a, b in zip(full.median_shape, low.median_shape, strict=True)]
    assert reduction[0] * reduction[1] * reduction[2] > 3.5
    small = Fingerprint.from_summary([[1.0] * 3] * 20, [[36, 50, 35]] * 20, labels=3)
    assert "3d_lowres" not in plan(36000, fingerprint=small).stages


def test_small_budgets_want_fewer_iterations() -> None:
    assert budget.wanted_iterations(600.0) == 979
    assert budget.wanted_iterations(1e9) == budget.WANTED_ITERATIONS
    assert budget.wanted_iterations(10.0) == budget.LEAST_WANTED_ITERATIONS


def test_the_cheapest_candidate_is_taken_where_none_suffices() -> None:
    spec = plan(600).stages["3d_fullres"].network
    topology = budget.Topology((), (), (32, 32, 32))
    candidates = [budget.Candidate(width, topology, spec, batch) for width, batch in ((32, 8), (8, 2))]
    choice = budget.choose(candidates, budget_seconds=1, seconds_per_multiply_add=1.0, memory_bytes=2**40)
    assert choice.candidate is candidates[-1]
    assert choice.iterations == 1
    assert choice.passed_over is candidates[0]


def test_memory_that_no_network_fits_into_is_an_error() -> None:
    with pytest.raises(PlanningError, match=r"MiB at least, more than the 1 MiB of --memory"):
        plan(600.0, memory=2**20, patch_size=(64, 64, 64))
