"""What a folder of predictions was made with: autoseg_prediction.json, so that a command can go on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoseg.errors import FileError, OptionError
from autoseg.files import checksum, read_artefact, to_json, write_json
from autoseg.inference.backends.choice import Choice
from autoseg.inference.model_files import ModelFiles
from autoseg.inference.options import PredictionOptions
from autoseg.postprocessing import Rule

MANIFEST = "autoseg_prediction.json"
MANIFEST_SCHEMA = 3


@dataclass(frozen=True)
class ModelRecord:
    """A model that took part. weights: checksums of the networks of each stage, one per fold."""

    name: str
    configuration: str
    folds: tuple[str, ...]
    weights: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Manifest:
    """What the labels in a folder depend on, and what is done.

    backend and precision are as asked for; engines: what they came to, per model and stage, on this device, see
    describe_device. seconds: of prediction, per finished case. not_found: per case that lacks some, the organs that
    were looked for one by one in vain, with the reason; missed: those that a locator missed, and what became of them.
    """

    models: tuple[ModelRecord, ...]
    overlap: float
    flips: str
    precision: str
    backend: str
    postprocessing: tuple[Rule, ...]
    seconds: dict[str, float]
    engines: tuple[tuple[Choice, ...], ...] = ()
    device: str = ""
    not_found: dict[str, dict[str, str]] = field(default_factory=dict)
    missed: dict[str, dict[str, str]] = field(default_factory=dict)
    schema: int = MANIFEST_SCHEMA

    def with_case(self, case_id: str, seconds: float, not_found: dict[str, str], missed: dict[str, str]) -> Manifest:
        """The manifest after one more case."""
        return replace(
            self,
            seconds={**self.seconds, case_id: round(seconds, 3)},
            not_found=_with(self.not_found, case_id, not_found),
            missed=_with(self.missed, case_id, missed),
        )

    @property
    def settings(self) -> Manifest:
        """The manifest before the first case."""
        return replace(self, seconds={}, engines=(), device="", not_found={}, missed={})

    def engines_on(self, device: str) -> tuple[tuple[Choice, ...], ...]:
        """The engines per model that an earlier run took on this device; on another one, none for any model."""
        return self.engines if self.device == device and self.engines else ((),) * len(self.models)


def describe(models: Sequence[ModelFiles], options: PredictionOptions, rules: Sequence[Rule]) -> Manifest:
    """The manifest of predictions that are about to be made. rules: those that will be applied."""
    records = tuple(
        ModelRecord(
            files.folder.name,
            files.configuration,
            files.folds,
            tuple(tuple(checksum(path) for path in paths) for paths in files.weights),
        )
        for files in models
    )
    flips = "plan" if options.flips is None else str(options.flips)
    return Manifest(records, options.overlap, flips, options.precision, options.backend, tuple(rules), {})


def continued(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with the cases that an earlier run of the same settings finished here, its engines and its device.

    Raises OptionError where the folder holds predictions made in another way.
    """
    path = folder / MANIFEST
    if not path.exists():
        return manifest
    earlier = read_artefact(Manifest, path, remedy="Predict into another folder.")
    before, now = to_json(earlier.settings), to_json(manifest.settings)
    differing = [key for key in now if before[key] != now[key]]
    if differing:
        raise OptionError(
            f"{folder} holds predictions made with other {', '.join(differing)}.",
            "Leave --continue out to make them again, or give another folder.",
        )
    return replace(
        manifest,
        seconds=earlier.seconds,
        engines=earlier.engines,
        device=earlier.device,
        not_found=earlier.not_found,
        missed=earlier.missed,
    )


def _with(told: dict[str, dict[str, str]], case_id: str, organs: dict[str, str]) -> dict[str, dict[str, str]]:
    """What is told of every case, with that of one made new; a case of which there is nothing to tell has no entry."""
    others = {case: one for case, one in told.items() if case != case_id}
    return others | ({case_id: organs} if organs else {})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest beside the predictions."""
    if folder.exists() and not folder.is_dir():
        raise FileError(folder, "is a file.", "Give a folder for the predictions.")
    write_json(folder / MANIFEST, manifest)
