"""Where the steps lead, and how a target is searched for."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import prunable_networks as networks
import pytest

from autoseg.compression.coupling import channel_groups
from autoseg.compression.course import stage_course, without_idle_steps
from autoseg.compression.criteria import magnitude
from autoseg.compression.options import Bound, CompressionOptions
from autoseg.compression.search import weight_bytes
from autoseg.errors import OptionError
from autoseg.networks.storage import save_network

THESIS = CompressionOptions(granularity=1)


def stage(architecture: str = "unet", base: int = 20) -> Any:
    return SimpleNamespace(name="3d_lowres", network=networks.spec_of(architecture, base=base))


def unmeasured(stage: Any, specs: Any) -> Any:
    raise AssertionError("nothing was to be measured")


def by_width(stage: Any, specs: Any) -> list[float]:
    return [sum(channel_groups(spec).widths.values()) / 100 for spec in specs]


def test_the_thesis_goes_from_5_to_25_per_cent() -> None:
    assert THESIS.ratios == (0.05, 0.1, 0.15, 0.2, 0.25)
    course = stage_course(stage(), THESIS, unmeasured)
    assert [widths["encoder.0.0"] for widths in course.widths] == [19, 18, 17, 16, 15]
    assert course.spec(stage().network, 4).levels[0].encoder_widths == (15, 15)


@pytest.mark.parametrize("architecture", ["unet", "residual_unet"])
@pytest.mark.parametrize("allocation", ["layer", "global"])
def test_what_is_cut_stays_cut(architecture: str, allocation: str) -> None:
    options = replace(THESIS, allocation=allocation, pruning_schedule=(0.1, 0.1, 0.9))
    one = stage(architecture)
    network = networks.seasoned(one.network)
    course = stage_course(one, options, unmeasured, [magnitude(network, channel_groups(one.network))])
    assert len(course.widths) == 9
    for earlier, later in zip(course.widths, course.widths[1:], strict=False):
        assert all(later[name] <= earlier[name] for name in later)
        assert sum(later.values()) < sum(earlier.values())


@pytest.mark.parametrize("bound", [Bound(0.5, True), Bound(40_000, False)])
def test_the_least_pruning_that_is_small_enough(bound: Bound) -> None:
    one = stage()
    course = stage_course(one, replace(THESIS, target_bytes=bound), unmeasured)
    reached = weight_bytes(course.spec(one.network, 4))
    assert reached <= bound.of(weight_bytes(one.network))
    less = replace(THESIS, pruning_schedule=(course.ratios[-1] - 0.025,) * 2 + (course.ratios[-1] - 0.025,))
    assert weight_bytes(stage_course(one, less, unmeasured).spec(one.network, 0)) > bound.of(weight_bytes(one.network))
    assert len(course.ratios) == 5


def test_latency_is_measured_not_counted() -> None:
    course = stage_course(stage(), replace(THESIS, target_latency=Bound(0.5, True)), by_width)
    (before, after) = by_width(None, [stage().network, course.spec(stage().network, 4)])
    assert 0.95 * 0.5 * before < after <= 0.5 * before
    steps = replace(THESIS, target_latency=Bound(1.0, True), pruning_schedule=(0.1, 0.1, 0.1))
    never_slower = stage_course(stage(), steps, lambda stage, specs: [1.0, 1.0])
    assert never_slower.ratios == (0.025,)


def test_a_target_out_of_reach_is_refused() -> None:
    with pytest.raises(OptionError, match="does not reach the target even without 90 %"):
        stage_course(stage(), replace(THESIS, target_latency=Bound(1e-6, False)), by_width)


def test_steps_that_change_nothing_are_left_out() -> None:
    one = stage(base=32)
    course = {"3d_lowres": stage_course(one, CompressionOptions(granularity=8), unmeasured)}
    busy = without_idle_steps(course, [one])["3d_lowres"]
    assert busy == course["3d_lowres"]
    one = stage(base=16)
    course = {"3d_lowres": stage_course(one, CompressionOptions(granularity=8), unmeasured)}
    busy = without_idle_steps(course, [one])["3d_lowres"]
    assert 0 < len(busy.ratios) < 5
    assert len({tuple(widths.items()) for widths in busy.widths}) == len(busy.widths)
    idle = {"3d_lowres": stage_course(stage(base=6), CompressionOptions(granularity=32), unmeasured)}
    with pytest.raises(OptionError, match="Nothing would be cut"):
        without_idle_steps(idle, [stage(base=6)])


def test_the_size_of_a_file_is_that_of_its_weights_and_a_header(tmp_path: Any) -> None:
    network = networks.seasoned(networks.spec_of("residual_unet"))
    save_network(tmp_path / "model.safetensors", network)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert 0 < size - weight_bytes(network.spec) < 16_000


@pytest.mark.parametrize("text", ["5", "x", "-1x", "0x", "1 kg"])
def test_bounds_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Bound.parse(text, {"s": 1.0})


def test_bounds_that_can() -> None:
    assert Bound.parse("0.5x", {}) == Bound(0.5, True)
    assert Bound.parse("80ms", {"ms": 1e-3}).of(99) == pytest.approx(0.08)
    assert Bound(0.5, True).of(4) == 2
