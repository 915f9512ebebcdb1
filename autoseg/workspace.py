"""The one root folder with raw, prepared and results below it, and the names of datasets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import DatasetError, OptionError

PLANS_NAME = r"[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*"
RESERVED_NAMES = ("fingerprint", "splits")
DATASET_NAME = re.compile(r"Dataset(\d{3,})_(.+)")


@dataclass(frozen=True)
class Workspace:
    """Where everything lies.

    root: the folder that holds raw/, prepared/ and results/.
    """

    root: Path

    @classmethod
    def open(cls, root: Path | str | None = None) -> Workspace:
        """The given root, else the environment's AUTOSEG_ROOT, else ~/autoseg."""
        return cls(Path(root or os.environ.get("AUTOSEG_ROOT") or Path.home() / "autoseg").expanduser().absolute())

    def raw(self, dataset_name: str) -> Path:
        """The raw folder of a dataset, in nnU-Net v2's layout."""
        return self.root / "raw" / dataset_name

    def prepared(self, dataset_name: str) -> Path:
        """Fingerprint, plans, splits and prepared cases of a dataset."""
        return self.root / "prepared" / dataset_name

    def plans_file(self, dataset_name: str, plans: str) -> Path:
        """The JSON of the plans with this name; the default name is "plans".

        Raises OptionError for a name that is no file name, or that of another artefact.
        """
        check_plans_name(plans)
        return self.prepared(dataset_name) / f"{plans}.json"

    def grid(self, dataset_name: str, plans: str, grid: str) -> Path:
        """The prepared cases of one grid (see StagePlan.grid) of these plans."""
        return self.prepared(dataset_name) / f"{plans}_{grid}"

    def results(self, dataset_name: str) -> Path:
        """The folder that holds one model folder per trainer, plans and configuration."""
        return self.root / "results" / dataset_name

    def model(self, dataset_name: str, trainer: str, plans: str, configuration: str) -> Path:
        """The folder of one trained configuration: a complete model."""
        return self.results(dataset_name) / f"{trainer}__{plans}__{configuration}"

    def dataset_name(self, name_or_id: str) -> str:
        """The full name DatasetNNN_Name for `4`, `004`, `Dataset004_Name` or `Name`.

        Raises DatasetError where no dataset, or more than one, answers to it; the datasets that exist are listed.
        """
        known = self.dataset_names()
        wanted = name_or_id.strip()
        found = [name for name in known if name == wanted or _answers_to(name, wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DatasetError(
                f"{wanted} names several datasets: {', '.join(found)}.", "Give the full name, or rename one."
            )
        listed = ", ".join(known) or "none"
        raise DatasetError(
            f"There is no dataset {wanted} under {self.root / 'raw'} (found: {listed}).",
            "Convert one with autoseg_convert, or set --root or AUTOSEG_ROOT.",
        )

    def dataset_names(self) -> list[str]:
        """All datasets in raw, prepared or results, sorted."""
        names = set()
        for part in ("raw", "prepared", "results"):
            folder = self.root / part
            if folder.is_dir():
                names |= {path.name for path in folder.iterdir() if DATASET_NAME.fullmatch(path.name) and path.is_dir()}
        return sorted(names)


def check_plans_name(plans: str) -> None:
    """Raise OptionError for a name that is no file name, or that of another artefact."""
    if not re.fullmatch(PLANS_NAME, plans) or plans in RESERVED_NAMES:
        raise OptionError(
            f"Plans cannot be called {plans!r}.",
            f"Use letters, digits, - and single _; not {' or '.join(RESERVED_NAMES)}.",
        )


def _answers_to(name: str, wanted: str) -> bool:
    match = DATASET_NAME.fullmatch(name)
    if match is None:
        return False
    return int(match[1]) == int(wanted) if wanted.isdecimal() else match[2] == wanted


def full_name(dataset_id: int, name: str) -> str:
    """DatasetNNN_Name."""
    return f"Dataset{dataset_id:03d}_{name}"
