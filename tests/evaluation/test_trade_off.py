"""Which models are beaten, which is chosen, and how that is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import FormatError, OptionError
from autoseg.evaluation.bootstrap import Estimate
from autoseg.evaluation.trade_off import (
    Bounds,
    Measured,
    TradeOff,
    best_within,
    format_trade_off,
    read_trade_off,
    titles,
    unbeaten,
    write_trade_off,
)
from autoseg.evaluation.trade_off_picture import _colors, _keys
from autoseg.files import write_json

MEGA = 1024**2


def measured(
    kind: str, dice: float | None, megabytes: int, seconds: float, peak: int, backend: str = "torch"
) -> Measured:
    return Measured(
        kind=kind,
        model=f"{kind}__plans__3d_fullres",
        folds=("0",),
        configuration="3d_fullres",
        backend=backend,
        precision="fp32",
        device="cpu",
        dice=Estimate(dice, None if dice is None else dice - 0.01, None if dice is None else dice + 0.01, 3),
        difference=None,
        bytes=megabytes * MEGA,
        parameters=1000,
        multiply_adds=1e9,
        seconds_per_case=seconds,
        peak_bytes=peak * MEGA,
        networks="a",
        made_from="b",
    )


FULL = measured("full", 0.80, 8, 10, 900)
FULL_FAST = measured("full", 0.80, 8, 4, 900, "openvino")
PRUNED = measured("pruned", 0.79, 2, 2, 600)
WORSE = measured("thresholded", 0.78, 3, 10, 900)
UNSCORED = measured("quantised", None, 1, 1, 100)
ALL = (FULL, FULL_FAST, PRUNED, WORSE, UNSCORED)


def test_what_another_equals_in_all_and_betters_in_something_is_beaten() -> None:
    assert unbeaten(ALL) == [FULL_FAST, PRUNED]
    assert unbeaten([FULL, replace(FULL, kind="again")]) == [FULL, replace(FULL, kind="again")]
    assert unbeaten([]) == []


def test_the_front_is_the_one_that_all_pairs_give() -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 4, size=(40, 4))
    entries = [measured(str(n), row[0] / 4, int(row[1]), float(row[2]), int(row[3])) for n, row in enumerate(values)]
    signed = values * [-1, 1, 1, 1]
    beaten = {
        i for i in range(40) for j in range(40) if (signed[j] <= signed[i]).all() and (signed[j] < signed[i]).any()
    }
    assert {int(one.kind) for one in unbeaten(entries)} == set(range(40)) - beaten


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Bounds(), FULL_FAST),
        (Bounds(seconds=4), FULL_FAST),
        (Bounds(seconds=3.9), PRUNED),
        (Bounds(memory_bytes=600 * MEGA), PRUNED),
        (Bounds(20, 899 * MEGA), PRUNED),
    ],
)
def test_the_best_within_bounds(bounds: Bounds, expected: Measured) -> None:
    assert best_within(ALL, bounds) == expected


def test_bounds_that_nothing_holds_tell_what_would_do() -> None:
    with pytest.raises(OptionError, match=r"within 1 s and 500M") as error:
        best_within(ALL, Bounds(1, 500 * MEGA))
    assert "the fastest, pruned__plans__3d_fullres by torch fp32, 2.00 s, 600M" in (error.value.remedy or "")
    with pytest.raises(OptionError, match="has a Dice"):
        best_within([UNSCORED], Bounds(1))


def test_it_is_written_read_and_shown(tmp_path: Path) -> None:
    trade_off = TradeOff("plans", ("a", "b", "c"), {"processor": "x"}, ALL)
    write_trade_off(tmp_path, trade_off)
    assert read_trade_off(tmp_path / "trade_off.json") == trade_off
    lines = (tmp_path / "trade_off.csv").read_text().splitlines()
    assert [line.split(",")[0] + line[-1] for line in lines[1:]] == [
        "full0",
        "full1",
        "pruned1",
        "thresholded0",
        "quantised0",
    ]
    assert (tmp_path / "trade_off.png").stat().st_size > 10_000
    table = format_trade_off(trade_off).splitlines()
    assert [line.split()[0:2] for line in table[3:5]] == [["full", "*"], ["pruned", "*"]]
    assert "0.8000 [0.790, 0.810]" in table[2]
    assert "Means over 3 cases" in table[-1]


def test_zeros_and_levels_are_shown_where_any_model_has_them(tmp_path: Path) -> None:
    sparse, rounded = replace(PRUNED, zeros=0.3125), replace(WORSE, zeros=0.04, levels=31)
    stray = replace(FULL, zeros=1e-5)
    heads = [
        format_trade_off(TradeOff("plans", ("a",), {}, models)).splitlines()[0].split("weights")[1].split()[:-3]
        for models in ((FULL, stray), (stray, sparse), (stray, sparse, rounded))
    ]
    assert heads == [[], ["zeros"], ["zeros", "levels"]]
    trade_off = TradeOff("plans", ("a",), {}, (FULL, sparse, rounded))
    rows = format_trade_off(trade_off).splitlines()[2:5]
    assert [row.split(" M ")[1].split()[:4] for row in rows] == [
        ["-", "-", "1.0", "G"],
        ["31.2", "%", "-", "1.0"],
        ["4.0", "%", "31", "1.0"],
    ]
    write_trade_off(tmp_path, trade_off)
    lines = [line.split(",") for line in (tmp_path / "trade_off.csv").read_text().splitlines()]
    assert [[line[lines[0].index(name)] for name in ("zeros", "levels")] for line in lines[1:]] == [
        ["", ""],
        ["0.3125", ""],
        ["0.04", "31"],
    ]


SEVERAL = TradeOff("plans", ("a", "b", "c"), {}, (FULL, replace(FULL, configuration="2d"), PRUNED))


def test_configurations_are_told_where_there_are_several() -> None:
    assert titles(ALL) == ["full", "full", "pruned", "thresholded", "quantised"]
    assert titles(SEVERAL.measured) == ["full 3d_fullres", "full 2d", "pruned 3d_fullres"]
    rows = format_trade_off(SEVERAL).splitlines()[2:5]
    assert [line.split()[:2] for line in rows] == [["full", "3d_fullres"], ["full", "2d"], ["pruned", "3d_fullres"]]


def test_the_picture_has_a_colour_for_each_kind_and_configuration() -> None:
    keys = [key for key in _keys(SEVERAL) if key.get_marker() == "s"]
    assert [key.get_label() for key in keys] == ["full 3d_fullres", "full 2d", "pruned 3d_fullres"]
    assert len({key.get_color() for key in keys}) == 3
    many = replace(SEVERAL, measured=tuple(replace(FULL, configuration=str(number)) for number in range(20)))
    assert len(set(_colors(many).values())) == 20


def test_a_trade_off_from_before_devices_were_kept_is_measured_again(tmp_path: Path) -> None:
    write_json(tmp_path / "trade_off.json", {"schema": 1})
    with pytest.raises(FormatError, match=r"schema must be 2") as error:
        read_trade_off(tmp_path / "trade_off.json")
    assert error.value.remedy == "Run autoseg_compare --trade-off again."
