"""Checking a raw dataset as a whole before anything is computed; every finding goes into one table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from autoseg.checking.findings import WHOLE_DATASET, Finding, GridDifference, format_findings, grid_difference
from autoseg.checking.layout import check_layout, check_leakage, check_test_cases
from autoseg.checking.volumes import CaseReport, Look, check_case
from autoseg.dataset import Case, Dataset
from autoseg.parallel import in_threads

__all__ = ["Finding", "GridDifference", "check_dataset", "format_findings", "grid_difference"]

Progress = Callable[[int, int], None]


def check_dataset(
    dataset: Dataset, workers: int = 1, progress: Progress | None = None, look: Look | None = None
) -> list[Finding]:
    """Check every file of a dataset. Returns errors first, then warnings, each sorted by case.

    Training cases are read whole, one channel of one case per worker at a time; of test cases only the headers. The
    result is the same for any number of workers. progress: called with the cases done and their total. look: see
    check_case; called by the workers.
    """
    findings = check_without_volumes(dataset)
    reports = []
    for report in in_threads(lambda case: check_case(case, dataset, look), dataset.cases, workers):
        reports.append(report)
        findings += report.findings
        if progress is not None:
            progress(len(reports), len(dataset.cases))
    findings += check_classes(dataset, reports)
    findings += check_identical(dataset, reports)
    return _in_order(findings)


def check_without_volumes(dataset: Dataset) -> list[Finding]:
    """The part of the check that reads no training volume: files, test cases, patients on both sides; in order."""
    return _in_order([*check_layout(dataset), *check_test_cases(dataset), *check_leakage(dataset)])


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(dict.fromkeys(findings), key=lambda finding: (not finding.is_error, finding.case))


def check_classes(dataset: Dataset, reports: Sequence[CaseReport]) -> Iterator[Finding]:
    known = [report.present for report in reports if report.present is not None]
    if not known:
        return
    found = frozenset().union(*known)
    if not found:
        fact, remedy = "No case holds any class: there is nothing to learn.", "Check the label files."
        yield Finding("error", WHOLE_DATASET, fact, remedy)
        return
    for name in dataset.labels.names:
        if name not in found:
            fact = f"No training case holds the class {name}."
            yield Finding("warning", WHOLE_DATASET, fact, "Add cases that have it, or remove it: it cannot be learned.")


def check_identical(dataset: Dataset, reports: Sequence[CaseReport]) -> Iterator[Finding]:
    """Cases of equal images, unless they are declared to be of one patient."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case, report in zip(dataset.cases, reports, strict=True):
        if report.content is not None:
            groups[report.content].append(case)
    for first, *others in groups.values():
        for other in others:
            if first.patient is None or first.patient != other.patient:
                yield Finding(
                    "warning",
                    other.id,
                    f"Its images are identical to those of {first.id}.",
                    "Remove one, or give both the same entry in patients: else one may be validated on the other.",
                )
