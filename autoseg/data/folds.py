"""Which cases train and which validate, in nnU-Net's splits format: a JSON list of {"train": [...], "val": [...]}."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.dataset import Dataset
from autoseg.errors import DatasetError, FormatError
from autoseg.files import read_json, write_json

SPLITS_FILE = "splits.json"
PEER_SPLITS_FILE = "splits_final.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """Case ids that train and case ids that validate, each sorted."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


def make_folds(dataset: Dataset, *, count: int = 5, seed: int = 12345) -> tuple[Fold, ...]:
    """Shuffled folds of equal size over the sorted case ids; cases of one patient stay together.

    Equals scikit-learn's KFold(count, shuffle=True, random_state=seed), over patients where the dataset names them (a
    case without one is its own patient). Fewer patients than count give as many folds as patients. Raises DatasetError
    where there are not two.
    """
    from sklearn.model_selection import KFold

    groups = _cases_by_patient(dataset)
    if len(groups) < 2:
        raise DatasetError(
            f"{dataset.name} has {len(dataset.cases)} case(s) of {len(groups)} patient(s): too few for folds.",
            "Train on all cases with --folds all, or add patients.",
        )
    names = sorted(groups)
    parts = KFold(min(count, len(names)), shuffle=True, random_state=seed).split(names)
    return tuple(Fold(_members(groups, names, train), _members(groups, names, held_out)) for train, held_out in parts)


def _cases_by_patient(dataset: Dataset) -> dict[str, list[str]]:
    """Case ids by patient; where any patient is named, a nameless case is keyed so that it meets no patient's name."""
    groups: dict[str, list[str]] = {}
    for case in dataset.cases:
        key = case.id if case.patient is None else f"patient {case.patient}"
        groups.setdefault(key, []).append(case.id)
    return groups


def _members(groups: dict[str, list[str]], names: Sequence[str], positions: Iterable[int]) -> tuple[str, ...]:
    return tuple(sorted(case for position in positions for case in groups[names[position]]))


def dataset_folds(dataset: Dataset, prepared: Path) -> tuple[Fold, ...]:
    """The folds of a dataset; prepared: its folder of prepared cases.

    The first of these that exists is taken: splits_final.json in the prepared folder, the same in the raw folder,
    splits.json in the prepared folder. Otherwise folds are made; keep_folds writes them there. Raises FormatError where
    a file does not fit the dataset.
    """
    for path in (prepared / PEER_SPLITS_FILE, dataset.folder / PEER_SPLITS_FILE):
        if path.exists():
            folds = read_folds(path, [case.id for case in dataset.cases])
            unused = _unused_cases(folds, dataset)
            if unused:
                logger.warning("%s leaves out %d case(s), the first is %s.", path, len(unused), unused[0])
            return folds
    path = prepared / SPLITS_FILE
    if not path.exists():
        return make_folds(dataset)
    folds = read_folds(path, [case.id for case in dataset.cases])
    unused = _unused_cases(folds, dataset)
    if unused:
        raise FormatError(path, f"leaves out the case {unused[0]!r}.", "Delete it, and folds are made again.")
    return folds


def keep_folds(dataset: Dataset, prepared: Path) -> None:
    """Write the folds of a dataset, where no file has them yet and there are patients enough for any."""
    names = (prepared / PEER_SPLITS_FILE, dataset.folder / PEER_SPLITS_FILE, prepared / SPLITS_FILE)
    if not any(path.exists() for path in names):
        with suppress(DatasetError):
            write_folds(prepared / SPLITS_FILE, make_folds(dataset))


def _unused_cases(folds: Sequence[Fold], dataset: Dataset) -> list[str]:
    used = {case for fold in folds for case in fold.train + fold.validation}
    return [case.id for case in dataset.cases if case.id not in used]


def read_folds(path: Path, case_ids: Sequence[str]) -> tuple[Fold, ...]:
    """Read a file of splits. case_ids: of the dataset.

    Raises FormatError naming the file for another structure, an unknown or doubled case, an empty half, or a case that
    both trains and validates in one fold.
    """
    values = read_json(path)
    if not isinstance(values, list) or not values:
        raise FormatError(path, 'must be a list of {"train": [case, ...], "val": [case, ...]}.')
    return tuple(_read_fold(entry, path, f"fold {number}", set(case_ids)) for number, entry in enumerate(values))


def _read_fold(entry: Any, path: Path, where: str, known: set[str]) -> Fold:
    if not isinstance(entry, dict) or set(entry) != {"train", "val"}:
        raise FormatError(path, f"{where} must hold exactly the keys 'train' and 'val'.")
    for key, cases in entry.items():
        if not isinstance(cases, list) or not cases or not all(isinstance(case, str) for case in cases):
            raise FormatError(path, f"{where}: {key!r} must list at least one case.")
        unknown = sorted(set(cases) - known)
        if unknown:
            raise FormatError(
                path,
                f"{where}: {key!r} names {unknown[0]!r}, which is no training case of the dataset.",
                "Correct the name, or delete the file and folds are made again.",
            )
        if len(set(cases)) != len(cases):
            raise FormatError(path, f"{where}: {key!r} names a case twice.")
    both = sorted(set(entry["train"]) & set(entry["val"]))
    if both:
        raise FormatError(path, f"{where}: {both[0]!r} is both in 'train' and in 'val'.", "Take it out of one.")
    return Fold(tuple(sorted(entry["train"])), tuple(sorted(entry["val"])))


def write_folds(path: Path, folds: Sequence[Fold]) -> None:
    """Write folds whole or not at all, in the format that read_folds reads."""
    write_json(path, [{"train": list(fold.train), "val": list(fold.validation)} for fold in folds])
