"""Measuring a dataset's finished models by every engine: Dice, size, work, time and memory."""

from __future__ import annotations

import argparse
import logging
import shutil
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from autoseg.cli.measured_prediction import predicted
from autoseg.cli.model_selection import trained_models
from autoseg.compression.report import REPORT, STEPS, CompressionReport
from autoseg.compression.weights import zeros_and_levels
from autoseg.data.folds import Fold, dataset_folds
from autoseg.dataset import Dataset, read_dataset
from autoseg.errors import AutosegError, FileError, OptionError
from autoseg.evaluation import EvaluationOptions, Summary, evaluate_folders
from autoseg.evaluation.bootstrap import Estimate, estimate_differences
from autoseg.evaluation.summary import score_table
from autoseg.evaluation.trade_off import NAME, Measured, TradeOff, trade_off_folder
from autoseg.files import checksum_of, from_json, read_artefact, read_json, write_json
from autoseg.inference.backends.choice import package_versions, possible
from autoseg.inference.backends.probe import Candidate
from autoseg.inference.inputs import find_inputs
from autoseg.inference.manifest import MANIFEST, Manifest
from autoseg.inference.model_costs import INT8, has_int8, model_costs, networks_checksum, refused_int8
from autoseg.inference.model_files import ModelFiles, finished_folds, read_model_files
from autoseg.inference.predictor import PredictionOptions
from autoseg.runtime import choose_device, use_threads
from autoseg.runtime.cache import machine
from autoseg.runtime.child import ChildError
from autoseg.workspace import Workspace

LOGGER = logging.getLogger(__name__)
MEASURED = "measured.json"
MEASURING = 2
"""Higher where the same engines came to take other time or memory. 2: engines other than torch's predict without it."""
REFUSED = f"{INT8} refused"
"""In place of int8: such a model computes in floats, trained for int8 or not."""
UNSCORED = Estimate(None, None, None, 0)
KINDS = {
    "standard": "full",
    "cascade": "full",
    "two_stage": "full",
    "channel_pruning": "pruned",
    "threshold_pruning": "thresholded",
    "quantization": "quantised",
    "int8": INT8,
    "compress": "compressed",
}
"""What the trainers make, in the order of the table; other trainers' names stand for themselves, after them."""


@dataclass(frozen=True)
class Entrant:
    """A model and an engine. kind: as the table calls it. model: its folder below the dataset's results."""

    kind: str
    model: str
    files: ModelFiles
    candidate: Candidate

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.model.replace('/', '__')}__{self.candidate.backend}__{self.candidate.precision}"


class TradingOff:
    """One comparison of the finished models of a dataset."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        use_threads(arguments.threads)
        self.device = choose_device(arguments.device)
        self.workspace = Workspace.open(arguments.root)
        self.dataset: Dataset = read_dataset(self.workspace.raw(self.workspace.dataset_name(arguments.dataset)))
        self.entrants = self._entrants()

    @property
    def folder(self) -> Path:
        """Where the results lie."""
        return trade_off_folder(self.workspace.results(self.dataset.name), self.arguments.name or NAME)

    def run(self) -> TradeOff:
        """Measure what is not measured yet. FileError where no engine can predict with any model."""
        found, summaries = [], []
        for entrant in self.entrants:
            measured = self._measured(entrant)
            if measured is not None:
                summaries.append(self._summary(entrant))
                found.append(replace(measured, dice=summaries[-1].overall["dice"]))
        if not found:
            raise FileError(self.workspace.results(self.dataset.name), "has no model that could be measured.")
        table = [score_table(one.cases, self.dataset.labels.names, "dice") for one in summaries]
        differences = [None, *(estimate_differences(table[0], other)[1] for other in table[1:])]
        compared = [replace(one, difference=other) for one, other in zip(found, differences, strict=True)]
        return TradeOff(self.arguments.plans_name, tuple(summaries[0].cases), machine(), tuple(compared))

    def _entrants(self) -> list[Entrant]:
        """Every finished model of the plans by every engine, the uncompressed ones first, steps before their model."""
        arguments, results = self.arguments, self.workspace.results(self.dataset.name)
        folders = trained_models(results, arguments.configuration or "*", plans=arguments.plans_name)
        found: list[Entrant] = []
        for folder in sorted(folders, key=_place):
            for step in earlier_steps(folder) if arguments.steps else ():
                found += self._of_folder(step, f"{_title(folder)}: {step.name}", _kind(folder))
            found += self._of_folder(folder, _title(folder), _kind(folder))
        if not found:
            raise FileError(results, "has no trained model to compare.", "Train one with autoseg_train.")
        return found

    def _of_folder(self, folder: Path, title: str, kind: str) -> list[Entrant]:
        files = read_model_files(folder, folds=self.arguments.folds)
        model = folder.relative_to(self.workspace.results(self.dataset.name)).as_posix()
        _warn_of_refused(model, files)
        if kind == INT8 and not has_int8(files):
            kind, title = REFUSED, REFUSED + title.removeprefix(INT8)
        return [Entrant(title, model, files, one) for one in self._candidates(files, kind)]

    def _candidates(self, files: ModelFiles, kind: str) -> list[Candidate]:
        if self.device != "cpu":
            return [] if kind == INT8 else [Candidate("torch", "auto")]
        wanted = self.arguments.backends or ("auto",)
        with_int8 = has_int8(files)
        found = [one for backend in wanted for one in possible(backend, "auto", has_int8=with_int8)]
        return [one for one in found if kind != INT8 or one.precision == INT8]

    @cached_property
    def cases(self) -> tuple[Path, Path]:
        """The images, as a folder or a list, and the folder of their labels."""
        if self.arguments.images is not None:
            return self.arguments.images, self.arguments.labels
        raw = self.workspace.raw(self.dataset.name)
        images = {case: list(map(str, self.dataset.case(case).images)) for case in self._fold().validation}
        path = self.folder / "images.json"
        write_json(path, images)
        return path, raw / "labelsTr"

    def _fold(self) -> Fold:
        """Whose validation cases are predicted: they must be unseen by the networks."""
        names, folds = self.arguments.folds, dataset_folds(self.dataset, self.workspace.prepared(self.dataset.name))
        if len(names) != 1 or not names[0].isdecimal() or int(names[0]) >= len(folds):
            raise OptionError(
                f"The validation cases of folds {', '.join(names)} were seen by some of their networks.",
                "Give one fold, or test cases with -i and --labels.",
            )
        return folds[int(names[0])]

    def _predicted(self, entrant: Entrant) -> Path:
        return self.folder / "predicted" / entrant.name

    def _measured(self, entrant: Entrant) -> Measured | None:
        """What an entrant costs, not what it is worth: seconds and memory as before, where nothing changed since.

        None where its engine cannot do it.
        """
        path = self._predicted(entrant) / MEASURED
        now = self._made_from(entrant)
        before = _kept(path)
        zeros, levels = zeros_and_levels({path for weights in entrant.files.weights for path in weights})
        costs = asdict(model_costs(entrant.files, entrant.candidate.precision, PredictionOptions()))
        costs |= {"zeros": zeros, "levels": levels}
        if before is not None and before.made_from == now:
            return replace(before, **costs)
        shutil.rmtree(path.parent, ignore_errors=True)
        words = self._words(entrant)
        print(f"\n$ autoseg_predict {' '.join(words)}", flush=True)
        try:
            answer = predicted(words)
        except ChildError as error:
            LOGGER.warning("%s by %s is left out: %s", entrant.model, entrant.candidate, error)
            return None
        seconds = read_artefact(Manifest, path.with_name(MANIFEST), remedy="Predict again.").seconds
        measured = Measured(
            kind=entrant.kind,
            model=entrant.model,
            folds=entrant.files.folds,
            configuration=entrant.files.configuration,
            backend=entrant.candidate.backend,
            precision=entrant.candidate.precision,
            device=self.device,
            dice=UNSCORED,
            difference=None,
            **costs,
            seconds_per_case=sum(seconds.values()) / len(seconds),
            peak_bytes=answer.peak_bytes,
            networks=networks_checksum(entrant.files, entrant.candidate.precision),
            made_from=now,
        )
        write_json(path, measured)
        return measured

    def _words(self, entrant: Entrant) -> tuple[str, ...]:
        candidate, device = entrant.candidate, self.device
        words = ["--model", str(entrant.files.folder), "-i", str(self.cases[0]), "-o", str(self._predicted(entrant))]
        words += ["--backend", candidate.backend, "--precision", candidate.precision, "--device", device]
        words += ["--folds", *entrant.files.folds, "--workers", "0"]
        words += ["--no-postprocessing"] if self.arguments.images is None else []  # it was chosen on these cases
        return (*words, *(["--threads", str(self.arguments.threads)] if self.arguments.threads else []))

    def _made_from(self, entrant: Entrant) -> str:
        """The checksum of all that the costs depend on. Labels are not among that: Dice is computed every time."""
        networks = networks_checksum(entrant.files, entrant.candidate.precision)
        return checksum_of([MEASURING, networks, package_versions([entrant.candidate.backend]), self._inputs])

    @cached_property
    def _inputs(self) -> list[object]:
        """What the measurements of all entrants depend on."""
        cases = find_inputs([self.cases[0]], self.dataset.channel_names, self.dataset.file_ending)
        sizes = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for case in cases for path in case.images]
        return [sizes, self.arguments.images is None, self.device, machine()]

    def _summary(self, entrant: Entrant) -> Summary:
        description = self.workspace.raw(self.dataset.name) / "dataset.json"
        options = EvaluationOptions(dataset_json=description, surface=False, allow_missing=True)
        return evaluate_folders(self._predicted(entrant), self.cases[1], options).summary


def _warn_of_refused(model: str, files: ModelFiles) -> None:
    """Tell by what Dice an int8 form of a model was refused, and that there will be no line for it."""
    for place, one in refused_int8(files).items():
        if one.dice_before is None or one.dice_after is None:
            why = "there was no validation case to measure its Dice on"
        else:
            why = f"mean Dice {one.dice_before:.4f}, in int8 {one.dice_after:.4f}, allowed {one.tolerance:g} less"
        LOGGER.warning("%s is measured in floats: int8 was refused for %s (%s).", model, place, why)


def _kept(path: Path) -> Measured | None:
    """What was measured before; None where nothing was, or another version of autoseg wrote it."""
    try:
        return from_json(Measured, read_json(path), path)
    except AutosegError:
        return None


def earlier_steps(folder: Path) -> list[Path]:
    """The models after each finished step of a compression, without the one that became the model itself."""
    if not (folder / REPORT).is_file():
        return []
    report = read_artefact(CompressionReport, folder / REPORT, remedy="Delete it, and compress again.")
    steps = [folder / STEPS / step.name for step in report.steps if step.name != report.chosen]
    return [step for step in steps if finished_folds(step)]


def _kind(folder: Path) -> str:
    """What the trainer makes, whatever tag follows its name."""
    trainer = folder.name.partition("__")[0].partition("-")[0]
    return KINDS.get(trainer, trainer)


def _title(folder: Path) -> str:
    return " ".join(filter(None, (_kind(folder), folder.name.partition("__")[0].partition("-")[2])))


def _place(folder: Path) -> tuple[int, tuple[str, ...]]:
    """By kind, then by trainer, without a tag first."""
    kinds, kind = list(dict.fromkeys(KINDS.values())), _kind(folder)
    number = kinds.index(kind) if kind in kinds else len(kinds)
    return number, (*folder.name.partition("__")[0].partition("-"), folder.name)
