from __future__ import annotations

import random

import pytest

from autoseg.networks.closed_form import multiply_adds, parameter_count
from autoseg.networks.cost import network_cost
from autoseg.plans import NetworkSpec
from planners.family import PLAIN, RESIDUAL, Family
from planners.rules.memory import feature_map_values, kept_values, training_bytes
from planners.rules.network import network_spec
from planners.rules.topology import Topology, find_topology


def make_spec(family: Family, edges: tuple[int, ...], **changes: int) -> tuple[NetworkSpec, Topology]:
    topology = find_topology((1.0,) * len(edges), edges)
    options = {"base_filters": 32, "in_channels": 1, "out_channels": 3} | changes
    return network_spec(topology, family, **options), topology


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("family", [PLAIN, RESIDUAL], ids=lambda family: family.planner)
def test_closed_forms_equal_a_walk_of_the_network(family: Family, seed: int) -> None:
    rng = random.Random(seed)
    dimensions = rng.choice((2, 3))
    spacing = [rng.choice((0.5, 1.0, 3.0)) for _ in range(dimensions)]
    topology = find_topology(spacing, [rng.randint(2, 40) for _ in range(dimensions)])
    spec = network_spec(
        topology, family, base_filters=rng.choice((4, 8, 12)), in_channels=rng.randint(1, 3), out_channels=5
    )
    patch, batch = topology.patch_size, rng.randint(1, 3)
    walked = network_cost(spec, patch, batch)
    assert parameter_count(spec) == walked.parameters
    assert multiply_adds(spec, patch) * batch == walked.multiply_adds
    assert 4 * kept_values(spec, patch) * batch == walked.activation_bytes


def test_a_single_level_is_counted_too() -> None:
    spec, topology = make_spec(PLAIN, (6, 6, 6))
    assert len(spec.levels) == 1
    assert feature_map_values(spec, topology.patch_size, 3) == 2 * 32 * 6**3


def test_feature_map_values_of_two_levels_by_hand() -> None:
    spec, topology = make_spec(PLAIN, (12, 12))
    fine, coarse = 12 * 12, 6 * 6
    assert feature_map_values(spec, topology.patch_size, 3) == (2 + 3) * 32 * fine + 2 * 64 * coarse + 3 * fine


def test_feature_map_values_of_the_peers_reference_network() -> None:
    # The figure stands in the peer's source beside its residual presets; it counts the coarser heads too.
    spec, topology = make_spec(RESIDUAL, (128, 128, 128))
    coarser_heads = 3 * (64**3 + 32**3 + 16**3 + 8**3)
    assert feature_map_values(spec, topology.patch_size, 3) == 558_319_104 - coarser_heads


def test_training_memory_grows_with_the_batch() -> None:
    spec, topology = make_spec(PLAIN, (32, 32, 32))
    one, two = (training_bytes(spec, topology.patch_size, batch) for batch in (1, 2))
    assert one < two < 2 * one
