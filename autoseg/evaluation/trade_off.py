"""What models cost and what they are worth: Dice against size, work, time and memory, and which are beaten."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.errors import OptionError
from autoseg.evaluation.bootstrap import Estimate
from autoseg.evaluation.report import aligned
from autoseg.files import read_artefact, write_json, write_text

TRADE_OFF = "trade_off.json"
NAME = "trade-off"
"""Of the folder of the comparison that autoseg_predict -c best reads."""
MEGA = 1024**2
FEW_ZEROS = 0.0005


def trade_off_folder(results: Path, name: str = NAME) -> Path:
    """Where a trade-off of the models below a dataset's results lies."""
    return results / "comparisons" / name


@dataclass(frozen=True)
class Measured:
    """A model, as one engine predicts with it.

    kind: full, pruned, ..., with the tag and the step, if any. model: its folder below the dataset's results;
    folds: of it. device: that computed, cpu or cuda. dice: the mean over classes, with its interval over cases.
    difference: of it to the first model, over the same cases; None for the first. bytes: of the networks' files that
    prediction opens, parameters: of the networks. multiply_adds: of a case of median size, over all windows,
    flips and folds. seconds_per_case, peak_bytes: measured, of a process that predicts the cases with the plan's
    flips and the usual overlap; the latter of the GPU's memory where that computes. networks: checksum of the
    files. made_from: of all that this depends on. zeros: their share among the weights of convolutions, levels: that
    these lie on, None for floats; both as model.safetensors has them, whatever computes.
    """

    kind: str
    model: str
    folds: tuple[str, ...]
    configuration: str
    backend: str
    precision: str
    device: str
    dice: Estimate
    difference: Estimate | None
    bytes: int
    parameters: int
    multiply_adds: float
    seconds_per_case: float
    peak_bytes: int
    networks: str
    made_from: str
    zeros: float | None = None
    levels: int | None = None

    @property
    def engine(self) -> str:
        """Backend and precision."""
        return f"{self.backend} {self.precision}"


@dataclass(frozen=True)
class TradeOff:
    """trade_off.json: everything that was measured, of the same cases on one machine. plans: whose models they are."""

    plans: str
    cases: tuple[str, ...]
    machine: dict[str, Any]
    measured: tuple[Measured, ...]
    schema: int = 2


@dataclass(frozen=True)
class Bounds:
    """What a prediction may cost; None for anything."""

    seconds: float | None = None
    memory_bytes: int | None = None

    def hold(self, one: Measured) -> bool:
        """Whether it costs no more."""
        is_fast = self.seconds is None or one.seconds_per_case <= self.seconds
        return is_fast and (self.memory_bytes is None or one.peak_bytes <= self.memory_bytes)

    def __str__(self) -> str:
        seconds = [] if self.seconds is None else [f"{self.seconds:g} s"]
        memory = [] if self.memory_bytes is None else [_size(self.memory_bytes)]
        return " and ".join(seconds + memory)


def read_trade_off(path: Path) -> TradeOff:
    """Read a trade_off.json; FormatError names the key that is unknown, missing or wrong."""
    return read_artefact(TradeOff, path, remedy="Run autoseg_compare --trade-off again.")


def titles(measured: Sequence[Measured]) -> list[str]:
    """What to call each: its kind, and its configuration where there are several."""
    several = len({one.configuration for one in measured}) > 1
    return [f"{one.kind} {one.configuration}" if several else one.kind for one in measured]


def unbeaten(measured: Sequence[Measured]) -> list[Measured]:
    """The Pareto front: those that no other equals or betters in Dice, bytes, seconds and memory and betters in one.

    What has no Dice is not among them.
    """
    known = [one for one in measured if one.dice.mean is not None]
    return [one for one in known if not any(_beats(other, one) for other in known)]


def _beats(first: Measured, second: Measured) -> bool:
    mine, others = _costs(first), _costs(second)
    return mine != others and all(cost <= other for cost, other in zip(mine, others, strict=True))


def _costs(one: Measured) -> tuple[float, ...]:
    return -(one.dice.mean or 0.0), one.bytes, one.seconds_per_case, one.peak_bytes


def best_within(measured: Sequence[Measured], bounds: Bounds) -> Measured:
    """The one with the highest Dice within bounds, of equal ones the fastest.

    OptionError, telling the fastest and the leanest, where there is none.
    """
    known = [one for one in measured if one.dice.mean is not None]
    allowed = [one for one in known if bounds.hold(one)]
    if allowed:
        return min(allowed, key=_costs_of_choice)
    if not known:
        raise OptionError("Nothing that was measured has a Dice.", "Give test cases with labels to autoseg_compare.")
    told = []
    for what, one in (("fastest", min(known, key=_seconds)), ("leanest", min(known, key=_memory))):
        told.append(f"the {what}, {one.model} by {one.engine}, {one.seconds_per_case:.2f} s, {_size(one.peak_bytes)}")
    raise OptionError(
        f"No model was measured to predict a case within {bounds}.",
        f"Allow more ({'; '.join(told)}), or compress further and run autoseg_compare --trade-off again.",
    )


def _costs_of_choice(one: Measured) -> tuple[float, float]:
    return -(one.dice.mean or 0.0), one.seconds_per_case


def _seconds(one: Measured) -> float:
    return one.seconds_per_case


def _memory(one: Measured) -> float:
    return one.peak_bytes


def write_trade_off(folder: Path, trade_off: TradeOff) -> None:
    """Write trade_off.json, trade_off.csv (a line per model and engine) and trade_off.png."""
    from autoseg.evaluation.trade_off_picture import draw_trade_off

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("bytes", "parameters", "zeros", "levels", "multiply_adds", "seconds_per_case", "peak_bytes")
    writer.writerow(("kind", "model", "backend", "precision", "dice", "dice_low", "dice_high", *names, "unbeaten"))
    front = unbeaten(trade_off.measured)
    for one in trade_off.measured:
        dice = ["" if value is None else value for value in (one.dice.mean, one.dice.low, one.dice.high)]
        costs = ["" if getattr(one, name) is None else getattr(one, name) for name in names]
        writer.writerow((one.kind, one.model, one.backend, one.precision, *dice, *costs, int(one in front)))
    write_text(folder / "trade_off.csv", text.getvalue())
    draw_trade_off(folder / "trade_off.png", trade_off)
    write_json(folder / TRADE_OFF, trade_off)


def format_trade_off(trade_off: TradeOff) -> str:
    """A line per model and engine, with zeros and levels where any has them; a star marks those that are not beaten."""
    head = [
        "model",
        "engine",
        "Dice [95 % interval]",
        "to the first",
        "MB",
        "weights",
        *_packed_columns(trade_off),
        "multiply-adds",
        "s/case",
        "peak",
    ]
    front = unbeaten(trade_off.measured)
    rows = []
    for one, title in zip(trade_off.measured, titles(trade_off.measured), strict=True):
        star = " *" if one in front else ""
        work = f"{one.multiply_adds / 1e9:.1f} G"
        size = [f"{one.bytes / MEGA:.2f}", f"{one.parameters / 1e6:.2f} M"]
        packed = [told(one) for told in _packed_columns(trade_off).values()]
        costs = [*size, *packed, work, f"{one.seconds_per_case:.2f}"]
        rows.append([f"{title}{star}", one.engine, *_dice(one), *costs, _size(one.peak_bytes)])
    *lines, _, last = aligned([head, *rows])
    remark = f"Means over {len(trade_off.cases)} cases. *: no other has its Dice at so few bytes, seconds and memory."
    return "\n".join([*lines, last, "", remark])


def _packed_columns(trade_off: TradeOff) -> dict[str, Callable[[Measured], str]]:
    """What fewer bits are due to, by the column's name: as text of a model."""
    columns = {"zeros": _zeros, "levels": _levels}
    return {name: told for name, told in columns.items() if any(told(one) != "-" for one in trade_off.measured)}


def _zeros(one: Measured) -> str:
    """In per cent; stray ones among floats are none."""
    return "-" if one.zeros is None or one.zeros < FEW_ZEROS else f"{100 * one.zeros:.1f} %"


def _levels(one: Measured) -> str:
    return "-" if one.levels is None else str(one.levels)


def _dice(one: Measured) -> list[str]:
    if one.dice.mean is None:
        return ["-", "-"]
    interval = "" if one.dice.low is None else f" [{one.dice.low:.3f}, {one.dice.high:.3f}]"
    difference = "-" if one.difference is None or one.difference.mean is None else f"{one.difference.mean:+.4f}"
    return [f"{one.dice.mean:.4f}{interval}", difference]


def _size(count: float) -> str:
    return f"{count / MEGA:.0f}M" if count < 1024 * MEGA else f"{count / 1024**3:.2f}G"
