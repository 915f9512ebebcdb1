"""Which rules pay, measured on cross-validated predictions.

Of each case and class, what its rules change is found once, as a list of voxels; a score is the counts so far and what
these voxels add to them. Only where a rule that is kept changed something in a class's box is it found again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from autoseg.errors import AutosegError
from autoseg.files import checksum, checksum_of
from autoseg.labels import Labels
from autoseg.parallel import in_threads
from autoseg.postprocessing.held_out import HeldOutCase, ScoredCase, read_case
from autoseg.postprocessing.rules import KINDS, KeptRule, Postprocessing, Rule, read_rules, write_rules

VOLUME_FRACTIONS = (0.05, 0.1, 0.25, 0.5)
SMALLEST_GAIN = 1e-5
Progress = Callable[[int, int], None]


def chosen_rules(
    path: Path, cases: Sequence[HeldOutCase], labels: Labels, *, workers: int = 1, progress: Progress | None = None
) -> Postprocessing:
    """The rules of a postprocessing.json, chosen now and written there unless they were chosen on the same files."""
    made_from = inputs_of(cases, labels)
    try:
        known = read_rules(path, labels)
    except AutosegError:
        known = Postprocessing()
    if known.made_from == made_from:
        return known
    chosen = choose_rules(cases, labels, workers=workers, progress=progress)
    chosen = Postprocessing(chosen.kept, chosen.cases, made_from)
    write_rules(path, chosen)
    return chosen


def inputs_of(cases: Sequence[HeldOutCase], labels: Labels) -> str:
    """The checksum of all that a choice depends on."""
    files = [[checksum(case.prediction), checksum(case.reference), sorted(case.not_contoured)] for case in cases]
    return checksum_of({"labels": labels, "cases": files, "fractions": VOLUME_FRACTIONS, "gain": SMALLEST_GAIN})


def choose_rules(
    cases: Iterable[HeldOutCase], labels: Labels, *, workers: int = 1, progress: Progress | None = None
) -> Postprocessing:
    """Try every rule in turn, on what the rules kept so far leave, and keep those that pay.

    A rule is kept where the mean over classes of the mean Dice over cases rises and that of no class falls. A class
    that is in neither prediction nor reference, or was not contoured, leaves the case out of that class's mean. The
    sizes tried for minimum_volume are fractions of the smallest reference component of the class. Of each case only the
    box around the foreground is held in memory. Without cases there are no rules. workers: threads, over cases.
    progress: called with the steps that are done and all of them.
    """
    cases = list(cases)
    groups = 1 + 3 * len(labels.names)

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, len(cases) + groups)

    held = []
    for case in in_threads(lambda one: read_case(one, labels), cases, workers):
        held.append(case)
        tell(len(held))
    search = _Search(held, labels, workers)
    for number, group in enumerate(search.groups(), 1):
        search.try_out(group)
        tell(len(held) + number)
    return Postprocessing(tuple(search.kept), len(held))


class _Search:
    """The rules kept so far, and the Dice that they have brought. rules: to be tried, by the class they clean."""

    def __init__(self, cases: Sequence[ScoredCase], labels: Labels, workers: int) -> None:
        self.kept: list[KeptRule] = []
        self.rules: dict[str | None, list[Rule]] = {None: [Rule("largest_component")], **_rules(cases, labels)}
        self._cases = cases
        self._workers = workers
        self._dice = _mean_over_cases([case.dice() for case in cases], len(labels.names))

    def groups(self) -> Iterator[list[Rule]]:
        """Rules of one class and kind, of which at most one is kept, in the order in which they are tried."""
        yield self.rules[None]
        for kind in KINDS:
            for name, rules in self.rules.items():
                if name is not None:
                    yield [rule for rule in rules if rule.kind == kind]

    def try_out(self, group: list[Rule]) -> None:
        """Keep the best of a group, if it pays."""
        if not group:
            return
        name = group[0].target
        effects = list(in_threads(lambda case: case.effects(name, self.rules[name]), self._cases, self._workers))
        best, best_dice = None, self._dice
        for rule in group:
            each = [case.dice(found[rule]) for case, found in zip(self._cases, effects, strict=True)]
            dice = _mean_over_cases(each, len(self._dice))
            if _pays(self._dice, dice) and (best is None or _mean(dice) > _mean(best_dice)):
                best, best_dice = rule, dice
        if best is not None:
            self.kept.append(KeptRule(best, _mean(self._dice), _mean(best_dice)))
            self._dice = best_dice
            for case, found in zip(self._cases, effects, strict=True):
                case.take(found[best])


def _rules(cases: Sequence[ScoredCase], labels: Labels) -> dict[str | None, list[Rule]]:
    """The rules that are tried for each class."""
    found: dict[str | None, list[Rule]] = {}
    for number, name in enumerate(labels.names):
        smallest = min((float(case.smallest_mm3[number]) for case in cases), default=math.inf)
        sizes = [fraction * smallest for fraction in VOLUME_FRACTIONS if math.isfinite(smallest)]
        volumes = [Rule("minimum_volume", name, size) for size in sizes]
        found[name] = [Rule("largest_component", name), *volumes, Rule("fill_holes", name)]
    return found


def _mean_over_cases(dice: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """(classes,) from (classes,) per case, NaN left out; NaN for a class that no case has."""
    table = np.array(dice).reshape(-1, classes)
    known = np.isfinite(table)
    counts = known.sum(0)
    return np.where(counts > 0, np.where(known, table, 0).sum(0) / np.maximum(counts, 1), np.nan)


def _mean(dice: np.ndarray) -> float:
    known = dice[np.isfinite(dice)]
    return float(known.mean()) if known.size else 0.0


def _pays(before: np.ndarray, after: np.ndarray) -> bool:
    """A class that no case has any more was wrong everywhere: that is no fall."""
    falls = np.isfinite(before) & np.isfinite(after) & (after < before)
    return not falls.any() and _mean(after) > _mean(before) + SMALLEST_GAIN
