"""Dice over minutes, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.files import atomic_path


@dataclass(frozen=True)
class Curve:
    """A training. points: (minutes, Dice on validation patches), in order."""

    name: str
    points: Sequence[Sequence[float]]
    iterations: int


def draw_curves(path: Path, title: str, curves: Sequence[Curve]) -> None:
    """Write a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for curve in curves:
        minutes, dice = [point[0] for point in curve.points], [point[1] for point in curve.points]
        axes.plot(minutes, dice, marker="o", markersize=3, label=f"{curve.name}, {curve.iterations} iterations")
    axes.set(title=title, xlabel="minutes of training", ylabel="mean Dice", ylim=(0, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
