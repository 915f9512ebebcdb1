"""The results as a table: for a terminal, and for the documentation between two markers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from autoseg.errors import FormatError
from autoseg.files import write_text
from comparison.records import Line, Results, Target

BEGIN = "<!-- table of tests/benchmarks/run.py: begin -->"
END = "<!-- table of tests/benchmarks/run.py: end -->"
HEADER = ("benchmark", "nnU-Net", "autoseg", "ratio", "ratio of each pair", "target", "")
BUSY_LOAD = 0.5
WIDTH = 160


def rows_of(results: Results) -> list[tuple[str, ...]]:
    """One row per line, in the order of the keys."""
    return [row_of(line) for key in sorted(results.finished, key=order) for line in results.finished[key].lines]


def order(key: str) -> tuple[str, int, str]:
    """c2 before c10."""
    letters = key.rstrip("0123456789")
    return letters, int(key[len(letters) :] or 0), key


def row_of(line: Line) -> tuple[str, ...]:
    """A line's cells as text, in the order of HEADER."""
    return (
        line.what,
        value_text(line.peer_median, line.unit),
        value_text(line.ours_median, line.unit),
        f"{line.ratio:.3g}" if line.ratio is not None else "-",
        " ".join(f"{ratio:.3g}" for ratio in line.ratios) or "-",
        target_text(line.target, line.unit),
        {True: "met", False: "missed", None: "not measured" if line.target else ""}[line.met],
    )


def value_text(value: float | None, unit: str) -> str:
    """A value with its unit: 2.51 s, 1.8 GiB, 0.8312, 99.99995 %."""
    if value is None:
        return "-"
    if unit == "bytes":
        return f"{value / 1024**3:.2f} GiB" if value >= 1024**3 else f"{value / 1024**2:.0f} MiB"
    if unit == "Dice":
        return f"{value:.4f}"
    if unit == "%":
        return f"{value:.7g} %"
    if unit == "s":
        return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
    return f"{value:.4g} {unit}".strip()


def target_text(target: Target | None, unit: str) -> str:
    """What is asked for."""
    if target is None:
        return "-"
    if target.kind == "ratio":
        return f"ratio ≥ {target.value:g}"
    return f"{'≤' if target.kind == 'at most' else '≥'} {value_text(target.value, unit)}"


def notes_of(results: Results) -> list[str]:
    """What the lines do not tell: settings, what was left out and why, a machine that was not idle."""
    notes = []
    for key in sorted(results.finished, key=order):
        benchmark = results.finished[key]
        texts = dict.fromkeys(f"{line.what}: {line.note}" for line in benchmark.lines if line.note)
        notes += [f"{key}: {text}" for text in texts]
        if benchmark.load > BUSY_LOAD:
            notes.append(
                f"{key}: the machine was not idle before it ({benchmark.load:.1f} cores busy): no fair figures."
            )
    return notes


def text_table(results: Results) -> str:
    """The table for a terminal, with its notes."""
    rows = rows_of(results)
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    lines = [_padded(HEADER, widths), "  ".join("-" * width for width in widths)]
    lines += [_padded(row, widths) for row in rows]
    notes = [textwrap.fill(note, WIDTH, subsequent_indent="    ") for note in notes_of(results)]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [cells[0].ljust(widths[0])]
    aligned += [cell.rjust(width) for cell, width in zip(cells[1:4], widths[1:4], strict=True)]
    aligned += [cell.ljust(width) for cell, width in zip(cells[4:], widths[4:], strict=True)]
    return "  ".join(aligned).rstrip()


def markdown_table(results: Results) -> str:
    """The table for the documentation: date, machine, table, notes and commands."""
    identity = results.identity
    dates = sorted(benchmark.date for benchmark in results.finished.values())
    when = f"Run of {dates[0]} to {dates[-1]}" if dates else "No benchmark was finished"
    quick = " **A run with `--quick`: its figures mean nothing.**" if identity.quick else ""
    parts = [f"{when}: autoseg {identity.autoseg} and {identity.peer} on {identity.machine}.{quick}", ""]
    parts += [_markdown_row(HEADER), "|---|---:|---:|---:|---|---|---|"]
    parts += [_markdown_row(row) for row in rows_of(results)]
    notes = notes_of(results)
    if notes:
        parts += ["", "Notes:", "", *(f"- {note}" for note in notes)]
    commands = dict.fromkeys(c for key in sorted(results.finished, key=order) for c in results.finished[key].commands)
    if commands:
        parts += ["", "What was run, besides what `tests/benchmarks/sides/` measures in process:", "", "```"]
        parts += [*commands, "```"]
    return "\n".join(parts) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def rewrite_page(page: Path, table: str) -> None:
    """Put the table between the markers of a page; FormatError where it does not have both, in order, once."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after or END in before:
        raise FormatError(page, f"must hold the two lines {BEGIN!r} and {END!r} once, in this order.")
    write_text(page, f"{before}{BEGIN}\n\n{table}\n{END}{after}")
