"""How many channels stay."""

from __future__ import annotations

from dataclasses import replace

import prunable_networks as networks
import pytest
import torch

from autoseg.compression.allocation import (
    global_widths,
    joined_curves,
    layer_widths,
    no_wider,
    rounded,
    separated,
)
from autoseg.compression.coupling import channel_groups


@pytest.mark.parametrize(
    ("width", "keep", "granularity", "expected"),
    [
        (32, 30.4, 1, 30),  # the thesis: 5 % of 32
        (32, 24.0, 8, 24),
        (32, 27.2, 8, 24),
        (32, 28.0, 8, 32),
        (320, 240.0, 16, 240),
        (20, 19.0, 8, 16),
        (12, 1.0, 8, 8),
        (8, 0.5, 8, 8),
        (6, 3.0, 8, 6),
        (5, 0.1, 1, 1),
    ],
)
def test_widths_are_the_nearest_multiples(width: int, keep: float, granularity: int, expected: int) -> None:
    assert rounded(width, keep, granularity) == expected


@pytest.mark.parametrize("granularity", [1, 8, 16])
@pytest.mark.parametrize("ratio", [0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("architecture", ["unet", "residual_unet"])
def test_widths_stay_multiples_and_groups_apart(architecture: str, ratio: float, granularity: int) -> None:
    coupling = channel_groups(networks.spec_of(architecture, base=32))
    kept = layer_widths(coupling, ratio, granularity=granularity)
    for name, width in coupling.widths.items():
        assert kept[name] == width or kept[name] % granularity == 0
        assert 0 < kept[name] <= width
    assert all(kept[a] != kept[b] for a, b in coupling.apart)


@pytest.mark.parametrize("granularity", [1, 8, 16, 32])
def test_a_deep_residual_encoder_keeps_its_projections(granularity: int) -> None:
    finest = networks.spec_of("residual_unet", base=32)
    one = finest.levels[1]
    deeper = tuple(replace(one, encoder_widths=(width,) * 2, inner_widths=(width,) * 2) for width in (128, 256, 320))
    spec = replace(finest, levels=(finest.levels[0], one, *deeper, finest.levels[2]))
    coupling = channel_groups(spec)
    earlier = coupling.widths
    for ratio in (number / 20 for number in range(1, 19)):
        kept = no_wider(
            coupling, layer_widths(coupling, ratio, granularity=granularity), earlier, granularity=granularity
        )
        assert all(kept[a] != kept[b] for a, b in coupling.apart), ratio
        assert all(0 < kept[name] <= earlier[name] for name in kept), ratio
        earlier = kept
    assert len(coupling.apart) == 5


def test_groups_that_meet_are_moved_apart() -> None:
    coupling = channel_groups(networks.spec_of("residual_unet", base=8))
    ((first, second),) = coupling.apart
    kept = coupling.widths | {first: 8, second: 8}
    assert separated(coupling, kept, coupling.widths, granularity=8)[second] == 16
    smaller = no_wider(coupling, kept, coupling.widths | {second: 8}, granularity=4)
    assert smaller[first] != smaller[second]


def test_the_weakest_of_all_layers_go_first() -> None:
    coupling = channel_groups(networks.spec_of("unet"))
    curves = {name: torch.full((width,), 5.0) for name, width in coupling.widths.items()}
    curves["encoder.1.0"] = torch.arange(12).float() / 100
    total = sum(coupling.widths.values())
    kept = global_widths(coupling, curves, 6 / total, granularity=1)
    assert kept == coupling.widths | {"encoder.1.0": 6}


def test_no_layer_is_emptied() -> None:
    coupling = channel_groups(networks.spec_of("unet"))
    curves = {name: torch.full((width,), 5.0) for name, width in coupling.widths.items()}
    curves["encoder.1.0"] = torch.zeros(12)
    assert global_widths(coupling, curves, 0.5, granularity=1)["encoder.1.0"] == 1


def test_folds_are_joined_by_rank_not_by_number() -> None:
    folds = [{"a": torch.tensor([3.0, 1.0, 2.0])}, {"a": torch.tensor([10.0, 30.0, 20.0])}]
    assert joined_curves(folds)["a"].tolist() == [5.5, 11.0, 16.5]
