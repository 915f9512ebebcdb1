"""A trade-off as a picture: Dice over seconds per case, and over the size of the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoseg.evaluation.trade_off import MEGA, Measured, TradeOff, titles, unbeaten
from autoseg.files import atomic_path

MARKERS = "osD^vPX*"


def draw_trade_off(path: Path, trade_off: TradeOff) -> None:
    """Draw a colour per kind and configuration of models and a marker per engine.

    Rings mark what nothing beats; lines are intervals.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    time, size = figure.subplots(1, 2, sharey=True)
    _draw(time, trade_off, lambda one: one.seconds_per_case)
    _draw(size, trade_off, lambda one: one.bytes / MEGA)
    time.set(xlabel="seconds per case", ylabel="mean Dice", title=f"{len(trade_off.cases)} cases")
    size.set(xlabel="size of the files in MB")
    figure.legend(handles=_keys(trade_off), loc="outside right upper")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _draw(axes: Any, trade_off: TradeOff, cost: Callable[[Measured], float]) -> None:
    colors, engines = _colors(trade_off), _engines(trade_off)
    front = unbeaten(trade_off.measured)
    for one, title in zip(trade_off.measured, titles(trade_off.measured), strict=True):
        if one.dice.mean is None:
            continue
        color, marker = colors[title], MARKERS[engines.index(one.engine) % len(MARKERS)]
        axes.plot(cost(one), one.dice.mean, marker, color=color, linestyle="none")
        if one.dice.low is not None:
            axes.vlines(cost(one), one.dice.low, one.dice.high, color=color, linewidth=0.8)
        if one in front:
            axes.plot(cost(one), one.dice.mean, "o", markersize=13, fillstyle="none", color="black")
    axes.set_xscale("log")
    axes.grid(visible=True, which="both", alpha=0.2)


def _keys(trade_off: TradeOff) -> list[Any]:
    """What the colours mean, and then the markers: few enough for a legend, however many models there are."""
    from matplotlib.lines import Line2D

    models = [
        Line2D([], [], color=color, marker="s", linestyle="none", label=title)
        for title, color in _colors(trade_off).items()
    ]
    engines = [
        Line2D([], [], color="grey", marker=MARKERS[number % len(MARKERS)], linestyle="none", label=engine)
        for number, engine in enumerate(_engines(trade_off))
    ]
    ring = Line2D(
        [], [], color="black", marker="o", fillstyle="none", markersize=13, linestyle="none", label="not beaten"
    )
    return [*models, *engines, ring]


def _colors(trade_off: TradeOff) -> dict[str, Any]:
    """By title, all of them different up to twenty."""
    from matplotlib import colormaps

    found = list(dict.fromkeys(titles(trade_off.measured)))
    palette = colormaps["tab10" if len(found) <= 10 else "tab20"]
    return {title: palette(number % palette.N) for number, title in enumerate(found)}


def _engines(trade_off: TradeOff) -> list[str]:
    return list(dict.fromkeys(one.engine for one in trade_off.measured))
