"""The files that a prediction leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.files import case_file

if TYPE_CHECKING:
    from autoseg.io import Volume


@dataclass(frozen=True)
class OutputFolder:
    """Where predictions go: CASE.ending, and probabilities/CASE.ending where they are kept."""

    folder: Path
    file_ending: str
    keeps_probabilities: bool = False

    def labels_file(self, case_id: str) -> Path:
        """The predicted labels of a case."""
        return case_file(self.folder, case_id, self.file_ending)

    def probabilities_file(self, case_id: str) -> Path:
        """Its probabilities, one channel per output of the network."""
        return case_file(self.folder / "probabilities", case_id, self.file_ending)

    def is_complete(self, case_id: str) -> bool:
        """Whether all files of a case are there; each is written whole or not at all."""
        kept = not self.keeps_probabilities or self.probabilities_file(case_id).exists()
        return kept and self.labels_file(case_id).exists()

    def write(self, case_id: str, labels: Volume, probabilities: Volume | None = None) -> None:
        """Write the files of a case, the labels last."""
        from autoseg.io import write_image, write_labels

        if probabilities is not None:
            write_image(self.probabilities_file(case_id), probabilities)
        write_labels(self.labels_file(case_id), labels)
