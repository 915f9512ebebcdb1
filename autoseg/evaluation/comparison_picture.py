"""A comparison as a picture: Dice on the left, paired differences on the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg.evaluation.bootstrap import Estimate
from autoseg.evaluation.comparison import Comparison
from autoseg.files import atomic_path

GROUP = 0.8
"""Of the distance between two classes, what the variants of one class take."""


def draw_comparison(path: Path, comparison: Comparison) -> None:
    """Draw a row per class and a colour per variant; lines are the 95 % bootstrap intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = (*comparison.classes, "mean")
    names = list(comparison.variants)
    figure = Figure(figsize=(11, 1.5 + 0.22 * len(rows) * (len(names) + 1)), layout="constrained")
    FigureCanvasAgg(figure)
    dice, difference = figure.subplots(1, 2, sharey=True)
    for number, (name, result) in enumerate(comparison.variants.items()):
        offset = GROUP * ((number + 0.5) / len(names) - 0.5)
        _draw(dice, [*result.dice.values(), result.mean_dice], offset, color=f"C{number}", label=name)
        if result.mean_difference is not None:
            estimates = [*result.difference.values(), result.mean_difference]
            _draw(difference, estimates, offset, color=f"C{number}", label=name)
    difference.axvline(0, color="grey", linewidth=0.8)
    dice.set(yticks=range(len(rows)), yticklabels=rows, xlabel="Dice", title=comparison.what)
    dice.invert_yaxis()
    difference.set(xlabel=f"difference of Dice to {names[0]}", title=f"{len(comparison.cases)} cases, paired")
    dice.legend(loc="best")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _draw(axes: Any, estimates: Sequence[Estimate], offset: float, *, color: str, label: str) -> None:
    known = [(row, estimate) for row, estimate in enumerate(estimates) if estimate.mean is not None]
    axes.plot([e.mean for _, e in known], [row + offset for row, _ in known], "o", color=color, label=label)
    for row, estimate in known:
        if estimate.low is not None:
            axes.hlines(row + offset, estimate.low, estimate.high, color=color)
