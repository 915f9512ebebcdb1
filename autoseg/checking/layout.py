"""What can be told without reading a volume whole: files, names, counts, headers of test cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from autoseg.checking.findings import WHOLE_DATASET, Finding, compare_grids, counted, unusable
from autoseg.dataset import Case, Dataset, split_channel, visible_files
from autoseg.errors import AutosegError
from autoseg.files import checksum
from autoseg.geometry import Geometry
from autoseg.io import read_geometry


def check_layout(dataset: Dataset) -> Iterator[Finding]:
    """Cases too few, counts that disagree, and files that belong to no case."""
    count = len(dataset.cases)
    if count < 2:
        yield Finding(
            "error",
            WHOLE_DATASET,
            f"It has {counted(count, 'training case')}; at least 2 are needed, to learn from and to validate on.",
            f"Name images CASE_0000{dataset.file_ending} in {dataset.folder / 'imagesTr'}.",
        )
    declared = dataset.description.get("numTraining")
    if declared is not None and declared != count:
        yield Finding(
            "warning",
            WHOLE_DATASET,
            f"dataset.json says numTraining {declared}, but {count} are there.",
            "Add the missing cases, or correct numTraining.",
        )
    known = {case.id for case in (*dataset.cases, *dataset.test_cases)}
    for key in ("not_contoured", "patients"):
        for case_id in sorted(set(dataset.description.get(key, ())) - known):
            yield Finding("warning", case_id, f"{key} names a case that is not there.", f"Correct {key}.")
    if "dataset" not in dataset.description:
        yield from _check_names(dataset, "Tr", {case.id for case in dataset.cases})
    yield from _check_names(dataset, "Ts", {case.id for case in dataset.test_cases})


def _check_names(dataset: Dataset, part: str, case_ids: set[str]) -> Iterator[Finding]:
    """Files in the folders of a part that belong to no case; case_ids: those that have an image."""
    severity = "error" if part == "Tr" else "warning"
    ending = dataset.file_ending
    for path in visible_files(dataset.folder / f"labels{part}"):
        if path.name.endswith(ending) and path.name[: -len(ending)] not in case_ids:
            remedy = f"Add images{part}/{path.name[: -len(ending)]}_0000{ending}, or remove the label."
            yield Finding(
                severity, path.name[: -len(ending)], f"The label labels{part}/{path.name} has no image.", remedy
            )
    for path in visible_files(dataset.folder / f"images{part}"):
        if path.name.endswith((".raw", ".zraw")) and ending == ".mhd":
            continue
        if not path.name.endswith(ending):
            fact = f"images{part}/{path.name} does not end in the file_ending {ending} and is not read."
            yield Finding("warning", WHOLE_DATASET, fact, "Convert or remove it, or correct file_ending.")
        elif split_channel(path.name[: -len(ending)])[1] is None:
            fact = f"images{part}/{path.name} has no channel number and is not read."
            yield Finding(severity, WHOLE_DATASET, fact, f"Name it {path.name[: -len(ending)]}_0000{ending}.")


def check_test_cases(dataset: Dataset) -> Iterator[Finding]:
    """Missing and unreadable files of test cases: warnings, since training does not need them."""
    for case in dataset.test_cases:
        for finding in (*check_files(case, dataset), *_check_headers(case, dataset)):
            yield Finding("warning", finding.case, finding.fact, finding.remedy)


def _check_headers(case: Case, dataset: Dataset) -> Iterator[Finding]:
    files = [path for path in (*case.images, case.label) if path is not None and path.exists()]
    first: tuple[Path, Geometry] | None = None
    for path in files:
        try:
            geometry = read_geometry(path)
        except AutosegError as error:
            yield unusable(case, dataset, error)
            continue
        if first is None:
            first = (path, geometry)
        else:
            yield from compare_grids(case, first, (path, geometry))


def check_files(case: Case, dataset: Dataset) -> Iterator[Finding]:
    """Whether every channel and the label are there, and no channel too many."""
    wanted = len(dataset.channel_names)
    if "dataset" in dataset.description and case in dataset.cases:
        missing = [path.name for path in case.images if not path.exists()]
        excess = len(case.images) != wanted
    else:
        names = [f"{case.id}_{channel:04d}{dataset.file_ending}" for channel in range(wanted)]
        missing = sorted(set(names) - {path.name for path in case.images})
        excess = len(case.images) + len(missing) > wanted
    for name in missing:
        yield Finding("error", case.id, f"The image {name} does not exist.", "Add it, or remove the case.")
    if excess:
        fact = f"It has {counted(len(case.images), 'channel')}, but dataset.json declares {wanted}."
        yield Finding("error", case.id, fact, "Correct the files or channel_names.")
    if case.label is not None and not case.label.exists():
        fact = f"The label {case.label.name} does not exist."
        yield Finding("error", case.id, fact, "Add it, or move the images to imagesTs.")


def check_leakage(dataset: Dataset) -> Iterator[Finding]:
    """Training cases that are test cases too, by id or by content; only files of equal size are read."""
    for case_id in sorted({case.id for case in dataset.cases} & {case.id for case in dataset.test_cases}):
        fact = "It is the id of a training case and of a test case: labels of one can be taken for the other's."
        yield Finding("warning", case_id, fact, "Rename one; remove one if they are of the same patient.")
    by_size: dict[int, list[tuple[Case, Path]]] = defaultdict(list)
    for case in dataset.cases:
        for path in case.images[:1]:
            if path.exists():
                by_size[path.stat().st_size].append((case, path))
    for test in dataset.test_cases:
        size = test.images[0].stat().st_size
        if size not in by_size:
            continue
        content = checksum(test.images[0])
        for case, path in by_size[size]:
            if checksum(path) == content:
                fact = f"Its image is byte-identical to the training case {case.id}."
                yield Finding("warning", test.id, fact, "Remove one of them: a test on training data proves nothing.")
