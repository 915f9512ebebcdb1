"""The rules one by one, with numbers that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest

from autoseg.errors import PlanningError
from autoseg.fingerprint import Fingerprint
from autoseg.plans import AirRule
from planners.default import DefaultPlanner
from planners.rules.air import Air, choose_air
from planners.rules.patch import initial_patch, shrink, widen_thin_edges
from planners.rules.spacing import Grid, axis_order, coarser_grids, resampled_median_shape, target_spacing
from planners.rules.topology import Topology, find_topology


def test_the_median_spacing_is_the_target() -> None:
    spacings = np.array([[1, 2, 2], [2, 1, 1], [3, 1, 1]])
    assert target_spacing(spacings, np.full((3, 3), 100)).spacing_mm == (2.0, 1.0, 1.0)


def test_a_coarse_and_short_axis_takes_the_tenth_percentile() -> None:
    spacings = np.array([[5.0, 1, 1]] * 5 + [[10.0, 1, 1]] * 6)
    found = target_spacing(spacings, np.tile([10, 200, 200], (11, 1)))
    assert found.anisotropic
    assert found.spacing_mm == (5.0, 1.0, 1.0)
    assert found.median_mm == (10.0, 1.0, 1.0)


def test_the_coarse_axis_never_becomes_finer_than_the_others() -> None:
    spacings = np.array([[0.5, 1, 1]] * 5 + [[10.0, 1, 1]] * 6)
    assert target_spacing(spacings, np.tile([10, 200, 200], (11, 1))).spacing_mm[0] == pytest.approx(1 + 1e-5)


def test_a_coarse_but_long_axis_keeps_its_median() -> None:
    spacings = np.array([[5.0, 1, 1]] * 5 + [[10.0, 1, 1]] * 6)
    assert target_spacing(spacings, np.tile([100, 200, 200], (11, 1))).spacing_mm == (10.0, 1.0, 1.0)


def test_the_coarsest_axis_comes_first() -> None:
    assert axis_order((1, 1, 5)) == (2, 0, 1)
    assert axis_order((1, 1, 1)) == (0, 1, 2)


def test_the_median_of_two_shapes_may_be_fractional() -> None:
    spacings, shapes = np.ones((2, 3)), np.array([[10, 20, 30], [11, 20, 30]])
    assert resampled_median_shape(spacings, shapes, (1, 1, 1)) == (10.5, 20.0, 30.0)


def test_coarser_grids_catch_up_with_the_coarsest_axis_first() -> None:
    grids = list(islice(coarser_grids(Grid((5.0, 1.0, 1.0), (50.0, 100.0, 100.0), 5e5)), 40))
    assert grids[0].spacing_mm == (5.0, 1.03, 1.03)
    assert grids[-1].spacing_mm[0] > 5.0
    assert all(later.voxels < sooner.voxels for sooner, later in pairwise(grids))


def test_topology_of_an_isotropic_patch() -> None:
    topology = find_topology((1, 1, 1), (36, 50, 35))
    assert topology.patch_size == (40, 56, 40)
    assert topology.poolings == (3, 3, 3)


def test_a_coarse_axis_is_halved_later_and_convolved_later() -> None:
    topology = find_topology((5, 1, 1), (16, 128, 128))
    assert topology.strides[:4] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert topology.kernels[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))


def test_a_fractional_edge_is_padded_up() -> None:
    assert find_topology((1, 1), (3.5, 6)).patch_size == (4, 6)


def test_poolings_can_be_limited() -> None:
    assert find_topology((1, 1, 1), (64, 64, 64), 2).poolings == (2, 2, 2)


@pytest.mark.parametrize("seed", range(30))
def test_no_edge_falls_under_four_by_pooling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.integers(2, 200, 3)
    topology = find_topology(rng.uniform(0.5, 6, 3).tolist(), edges.tolist())
    bottom = [edge // step for edge, step in zip(topology.patch_size, topology.divisor, strict=True)]
    assert all(edge >= 4 or step == 1 for edge, step in zip(bottom, topology.divisor, strict=True))
    assert all(edge % step == 0 for edge, step in zip(topology.patch_size, topology.divisor, strict=True))


def test_the_first_patch_is_a_cube_in_mm_within_the_median_case() -> None:
    assert initial_patch((2, 1, 1), (1000, 1000, 1000)) == (161, 323, 323)
    assert initial_patch((1, 1), (100.5, 5000)) == (100.5, 2048)


def test_shrinking_takes_the_relatively_longest_axis() -> None:
    topology = find_topology((1, 1, 1), (64, 128, 128))
    assert shrink(topology, (1, 1, 1), (64, 256, 256)).patch_size == (56, 128, 128)


def test_shrinking_takes_the_last_axis_among_equals() -> None:
    topology = find_topology((1, 1, 1), (64, 64, 64))
    assert shrink(topology, (1, 1, 1), (64, 64, 64)).patch_size == (64, 64, 56)


def test_a_patch_cannot_vanish() -> None:
    with pytest.raises(PlanningError, match="No patch is small enough"):
        shrink(Topology(((1, 1),), ((3, 3),), (2, 2)), (1, 1), (10, 10))


def test_shrinking_ends() -> None:
    topology = find_topology((5, 1, 1), (3, 40, 40))
    for _ in range(1000):
        if topology.patch_size == (2, 2, 2):
            break
        topology = shrink(topology, (5, 1, 1), (3, 40, 40))
    assert topology.patch_size == (2, 2, 2)


def test_single_voxel_edges_are_widened() -> None:
    assert widen_thin_edges(Topology(((1, 1),), ((3, 3),), (1, 9))).patch_size == (2, 9)


def ct(in_air: int) -> Fingerprint:
    made = Fingerprint.from_summary([[1.0] * 3] * 9, [[60] * 3] * 9, labels=3)
    classes = {name: replace(facts, in_air=in_air) for name, facts in made.classes.items()}
    return replace(made, channels=("CT",), classes=classes)


def test_windows_of_air_are_left_out_of_a_ct() -> None:
    assert choose_air(ct(0)).rule == AirRule(0, -500.0, 20.0)


def test_a_class_with_voxels_in_the_air_forbids_to_leave_windows_out() -> None:
    assert choose_air(ct(1)) == Air(None, {"class_1": 1, "class_2": 1})


def test_without_a_ct_no_window_is_left_out() -> None:
    assert choose_air(replace(ct(0), channels=("T1",))).rule is None
    assert choose_air(replace(ct(0), channels=("PET", "ct"))).rule == AirRule(1, -500.0, 20.0)


@pytest.mark.parametrize(
    ("channel", "in_air", "told"),
    [("CT", 0, "no training voxel"), ("CT", 5, "class_1 has training"), ("T1", 0, "no channel is called CT")],
)
def test_the_decision_about_air_is_explained(channel: str, in_air: int, told: str) -> None:
    plans = DefaultPlanner().plan(replace(ct(in_air), channels=(channel,)))
    decision = next(made for made in plans.decisions if made.what == "air")
    assert told in decision.rule
    assert (plans.air is not None) == (decision.value == "left out") == (told == "no training voxel")
