"""Hooks that tell how a run goes: a bar or lines, training.jsonl and progress.png."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from autoseg.durations import duration
from autoseg.files import atomic_path, write_text
from autoseg.training.loop import Hook, TrainingLoop

SECONDS_BETWEEN_PICTURES = 30.0


def seconds_left(loop: TrainingLoop) -> float:
    """The time to the end of the run at its pace so far."""
    progress = loop.progress
    return loop.seconds * (1 - progress) / progress if progress > 0 else float("nan")


class Reporter(Hook):
    """A progress bar on a terminal, else a line per epoch on stderr."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._bar: Any = None

    def start(self, loop: TrainingLoop) -> None:
        """Open the bar."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            layout = "{desc} {percentage:3.0f}%|{bar}| {postfix}"
            self._bar = tqdm(total=1000, desc=self.title, bar_format=layout, initial=int(1000 * loop.progress))

    def after_step(self, loop: TrainingLoop) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.n = int(1000 * loop.progress)
            self._bar.set_postfix_str(f"loss {loop.last_loss:.3f}, {duration(seconds_left(loop))} left")

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Say how the epoch went."""
        record, dice = loop.record, loop.record.values.get("mean_validation_dice")
        text = f"{self.title} epoch {record.epoch + 1}: {loop.iteration} iterations, loss {record.mean_loss:.3f}"
        text += f", validation Dice {dice:.3f}" if dice is not None else ""
        whole = loop.record.values.get("mean_whole_validation_dice")
        text += f", of whole cases {whole:.3f}" if whole is not None else ""
        text += f", {duration(loop.seconds)} done, {duration(seconds_left(loop))} left"
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self, loop: TrainingLoop) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class History(Hook):
    """training.jsonl, a line per epoch, and progress.png, both written anew; the picture at most every 30 seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._drawn_at = 0.0
        self.lines: list[dict[str, Any]] = []

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Add the epoch."""
        record = loop.record
        values = {
            "epoch": record.epoch,
            "iterations": loop.iteration,
            "seconds": round(loop.seconds, 3),
            "epoch_seconds": round(loop.seconds - record.started_seconds, 3),
            "loss": round(record.mean_loss, 6),
        }
        self.lines.append(values | record.values)
        write_text(self.folder / "training.jsonl", "".join(json.dumps(line) + "\n" for line in self.lines))
        if loop.seconds - self._drawn_at > SECONDS_BETWEEN_PICTURES:
            self._drawn_at = loop.seconds
            draw_progress(self.folder / "progress.png", self.lines)

    def end(self, loop: TrainingLoop) -> None:
        """Draw the whole run."""
        if self.lines:
            draw_progress(self.folder / "progress.png", self.lines)

    def state(self) -> dict[str, Any]:
        """All lines."""
        return {"lines": json.dumps(self.lines)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the lines back; those of epochs that are trained again are gone."""
        self.lines = json.loads(state["lines"])


def draw_progress(path: Path, lines: list[dict[str, Any]]) -> None:
    """Plot loss, validation Dice and learning rate over the epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [line["epoch"] + 1 for line in lines]
    figure = Figure(figsize=(8, 7), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(epochs, [line["loss"] for line in lines], color="tab:blue", label="training loss")
    above.set_ylabel("loss")
    if "mean_validation_dice" in lines[-1]:
        dice = above.twinx()
        dice.plot(epochs, [line.get("mean_validation_dice") for line in lines], color="tab:green", alpha=0.4)
        dice.plot(
            epochs, [line.get("smoothed_validation_dice") for line in lines], color="tab:green", label="validation Dice"
        )
        whole = [(line["epoch"] + 1, line.get("mean_whole_validation_dice")) for line in lines]
        if any(value is not None for _, value in whole):
            known = [(epoch, value) for epoch, value in whole if value is not None]
            dice.plot(*zip(*known, strict=True), "o", color="tab:green", label="validation Dice, whole cases")
        dice.set(ylim=(0, 1), ylabel="Dice on validation patches")
        dice.legend(loc="upper right")
    above.legend(loc="upper left")
    below.plot(epochs, [line.get("learning_rate") for line in lines], color="tab:red")
    below.set(xlabel="epoch", ylabel="learning rate")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
