"""autoseg_predict: segment volumes with a trained model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.cli import app

if TYPE_CHECKING:
    from autoseg.dataset import Case
    from autoseg.inference.ensemble import Ensemble
    from autoseg.inference.limit import Limit
    from autoseg.inference.manifest import Manifest
    from autoseg.inference.model_files import ModelFiles
    from autoseg.inference.options import PredictionOptions
    from autoseg.inference.output import OutputFolder

EPILOG = """examples:
  autoseg_predict -d 4 -c 3d_fullres -i IMAGES -o OUT
  autoseg_predict -d 4 -c best -i scan.nii.gz -o OUT --flips none
  autoseg_predict -d 10 -c 3d_fullres 3d_cascade -i IMAGES -o OUT      the mean of two configurations
  autoseg_predict -d 4 -c best --max-seconds 2 --max-memory 1G -i IMAGES -o OUT
  autoseg_predict --model FOLDER -i IMAGES -o OUT --continue           goes on after an interruption

Images are named CASE_0000.nii.gz, CASE_0001.nii.gz, ... with one file per channel; for a model of one channel any
name will do. Several files, or a .txt or .json list of files, may stand in place of a folder."""
OVERLAP = 0.5


def make_parser() -> argparse.ArgumentParser:
    """The options of autoseg_predict."""
    parser = app.parser("Segment volumes with a trained model.", EPILOG)
    parser.add_argument("-d", "--dataset", help="id or name of the dataset: 4, 004 or Dataset004_Hippocampus")
    parser.add_argument(
        "-c", "--configuration", nargs="+", metavar="NAME", help="configurations to average, or 'best' by validation"
    )
    parser.add_argument(
        "--max-seconds", type=float, metavar="S", help="with -c best: per case, as autoseg_compare --trade-off measured"
    )
    parser.add_argument(
        "--max-memory",
        type=app.size_in_bytes,
        metavar="SIZE",
        help="with -c best: that it measured, such as 1G; a volume that may need more is told",
    )
    parser.add_argument(
        "--model", nargs="+", action="extend", type=Path, metavar="FOLDER", help="model folders, in place of -d and -c"
    )
    parser.add_argument(
        "-i", "--images", nargs="+", action="extend", type=Path, required=True, help="a folder, files, or a list"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the predicted labels")
    parser.add_argument("--continue", dest="resume", action="store_true", help="leave finished cases as they are")
    parser.add_argument("--folds", nargs="+", metavar="N", help="folds to average, or 'all' (default: every one)")
    parser.add_argument("--trainer", help="which trainer's model, where there are several")
    parser.add_argument("--plans-name", default="plans", help="which plans (default: plans)")
    parser.add_argument("--overlap", type=float, default=OVERLAP, help="of neighbouring windows (default: 0.5)")
    parser.add_argument(
        "--flips",
        type=flips,
        metavar="all|none|N",
        help="average over flipped copies: all, none, or N of them besides the plain one (default: what the plan says)",
    )
    parser.add_argument("--no-postprocessing", action="store_true", help="leave the model's cleaning rules out")
    parser.add_argument("--save-probabilities", action="store_true", help="also write OUT/probabilities/CASE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16", "int8"), help="of the arithmetic"
    )
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help="auto, torch, openvino or onnxruntime (default: auto, what was measured to be fastest on this machine)",
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument(
        "--workers", type=int, help="volumes read before their turn (default: 1; 0 with --max-seconds or --max-memory)"
    )
    parser.add_argument(
        "--memory", type=app.size_in_bytes, help="that the process may hold, such as 4G (default: what is free)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 2 for an error of the user's."""
    return app.run(predict, make_parser(), argv)


def predict(arguments: argparse.Namespace) -> int:
    """Find the models and the cases, check them, and predict what is not finished."""
    from autoseg.files import remove_partial_files
    from autoseg.inference.inputs import check_inputs, find_inputs
    from autoseg.inference.model_files import read_model_files
    from autoseg.inference.output import OutputFolder

    _check(arguments)
    models = [read_model_files(folder, folds=arguments.folds) for folder in _model_folders(arguments)]
    cases = find_inputs(arguments.images, models[0].channel_names, models[0].file_ending)
    output = OutputFolder(arguments.output, models[0].file_ending, arguments.save_probabilities)
    check_inputs(cases, models[0].channel_names, [output.labels_file(case.id) for case in cases])
    for files in models:
        print(f"model: {files.folder} ({files.configuration}, folds {', '.join(files.folds)})")
    if output.folder.is_dir():
        remove_partial_files(output.folder)
    return _run(models, cases, output, arguments)


def _check(arguments: argparse.Namespace) -> None:
    from autoseg.errors import OptionError
    from autoseg.workspace import check_plans_name

    check_plans_name(arguments.plans_name)
    if arguments.model and (arguments.dataset or arguments.configuration):
        raise OptionError("--model stands in place of -d and -c.", "Give one or the other.")
    if not arguments.model and not (arguments.dataset and arguments.configuration):
        raise OptionError("Which model is to be used?", "Give -d DATASET -c CONFIGURATION, or --model FOLDER.")
    if _has_bounds(arguments):
        _check_bounds(arguments)
    if (arguments.workers or 0) < 0:
        raise OptionError(f"--workers must be at least 0, not {arguments.workers}.")


def _check_bounds(arguments: argparse.Namespace) -> None:
    from autoseg.errors import OptionError

    if arguments.model or arguments.configuration != ["best"] or arguments.folds:
        raise OptionError(
            "--max-seconds and --max-memory choose a model and its folds.", "Give them with -c best alone."
        )
    if arguments.flips is not None or arguments.overlap != OVERLAP:
        raise OptionError(
            "--max-seconds and --max-memory choose by measurements with the plan's flips and the usual overlap.",
            "Leave --flips and --overlap out, or name the model and --backend yourself.",
        )
    if arguments.max_seconds is not None and not arguments.max_seconds > 0:
        raise OptionError(f"--max-seconds must be positive, not {arguments.max_seconds}.")


def _model_folders(arguments: argparse.Namespace) -> list[Path]:
    from autoseg.cli.model_selection import BEST, find_model, ranked_models
    from autoseg.workspace import Workspace

    if arguments.model:
        return list(arguments.model)
    workspace = Workspace.open(arguments.root)
    results = workspace.results(workspace.dataset_name(arguments.dataset))
    names, trainer = arguments.plans_name, arguments.trainer
    if _has_bounds(arguments):
        return [_within_bounds(results, arguments)]
    if BEST in arguments.configuration:
        for folder, dice in ranked_models(results, plans=names, trainer=trainer).items():
            print(f"cross-validated Dice {dice:.4f}: {folder.name}")
    return [find_model(results, wanted, plans=names, trainer=trainer) for wanted in arguments.configuration]


def _has_bounds(arguments: argparse.Namespace) -> bool:
    return arguments.max_seconds is not None or arguments.max_memory is not None


def _within_bounds(results: Path, arguments: argparse.Namespace) -> Path:
    """The best model within the bounds; the arguments then name its engine, its device and its folds.

    They also say to predict as was measured, no volume read before its turn.
    """
    from autoseg.cli.model_selection import best_measured
    from autoseg.evaluation.trade_off import Bounds
    from autoseg.runtime import use_threads

    use_threads(arguments.threads)  # first: those of the measurement are held against it
    bounds = Bounds(arguments.max_seconds, arguments.max_memory)
    choices = {name: getattr(arguments, name) for name in ("trainer", "backend", "precision")}
    choices["device"] = arguments.device.partition(":")[0]  # another GPU of this machine is no other device
    asked = {f"--{name}": value for name, value in choices.items() if value not in (None, "auto")}
    chosen = best_measured(results, bounds, plans=arguments.plans_name, asked=asked)
    arguments.backend, arguments.precision = chosen.backend, chosen.precision
    arguments.device = chosen.device if arguments.device == "auto" else arguments.device
    arguments.folds = list(chosen.folds)
    arguments.workers = arguments.workers or 0
    measured = (
        f"Dice {chosen.dice.mean:.4f}, {chosen.seconds_per_case:.2f} s per case, {chosen.peak_bytes / 1024**2:.0f}M"
    )
    print(f"best within {bounds}: {chosen.model} by {chosen.engine} on {chosen.device} ({measured})")
    return results / chosen.model


def _run(models: list[ModelFiles], cases: tuple[Case, ...], output: OutputFolder, arguments: argparse.Namespace) -> int:
    """Predict what is left. Where nothing is, torch is not loaded."""
    from autoseg.inference.manifest import continued, describe
    from autoseg.inference.options import PredictionOptions
    from autoseg.postprocessing import common_rules

    options = PredictionOptions(
        arguments.overlap,
        arguments.flips,
        arguments.precision,
        arguments.device,
        memory_bytes=arguments.memory,
        backend=arguments.backend,
    )
    rules = () if arguments.no_postprocessing else common_rules([files.rules for files in models])
    manifest = describe(models, options, rules)
    if arguments.resume:
        manifest = continued(output.folder, manifest)
    left = [case for case in cases if case.id not in manifest.seconds or not output.is_complete(case.id)]
    if len(left) < len(cases):
        print(f"{len(cases) - len(left)} of {len(cases)} cases are finished already")
    if left:
        _predict_cases(left, _Prediction(models, options, manifest, output), arguments)
    print(f"predicted: {output.folder}")
    return 0


@dataclass(frozen=True)
class _Prediction:
    """What is predicted with, and to where."""

    models: list[ModelFiles]
    options: PredictionOptions
    manifest: Manifest
    output: OutputFolder


def _predict_cases(left: list[Case], prediction: _Prediction, arguments: argparse.Namespace) -> None:
    from autoseg.cli.prediction_progress import PredictionProgress
    from autoseg.inference.ensemble import Ensemble
    from autoseg.inference.manifest import write_manifest
    from autoseg.inference.model import load_networks
    from autoseg.inference.queue import predict_cases
    from autoseg.runtime import choose_device, describe_device, use_threads

    use_threads(arguments.threads)
    options, manifest, folder = prediction.options, prediction.manifest, prediction.output.folder
    device = describe_device(choose_device(options.device))
    if manifest.engines and manifest.device != device:
        print(f"engines are chosen anew: finished cases were predicted on {manifest.device}, this is {device}")
    cleans, count = not arguments.no_postprocessing, len(left)
    ensemble = Ensemble(
        [
            load_networks(files, options, postprocessing=cleans, volumes=count, choices=choices)
            for files, choices in zip(prediction.models, manifest.engines_on(device), strict=True)
        ]
    )
    ensemble.limit = _limit(ensemble, left, arguments)
    for line in _engines(ensemble):
        print(line)
    manifest = replace(manifest, engines=tuple(model.choices for model in ensemble.models), device=device)
    write_manifest(folder, manifest)
    progress = PredictionProgress(folder, manifest, count)
    with progress:
        predict_cases(left, ensemble, prediction.output, listener=progress.listener, ahead=ensemble.limit.waiting)
    progress.raise_failures()


def _engines(ensemble: Ensemble) -> list[str]:
    """What computes each stage; its name is told where there are several."""
    predictors = [predictor for chain in ensemble.chains for predictor in chain.every_predictor]
    told = []
    for predictor in predictors:
        stage, choice = predictor.stage.name, predictor.choice
        of = f" of {stage}" if len(predictors) > 1 else ""
        told.append(f"engine{of}: {choice.backend} {choice.precision} ({choice.reason})")
    return told


def _limit(ensemble: Ensemble, cases: Sequence[Case], arguments: argparse.Namespace) -> Limit:
    """What the process may hold, checked against every case before the first is predicted."""
    from autoseg.inference.limit import Limit, limit_for_cases
    from autoseg.inference.memory import source_of

    channels = len(ensemble.models[0].files.channel_names)
    sources = {case.id: source_of(case, channels) for case in cases}
    ahead = 1 if arguments.workers is None else arguments.workers
    limit = replace(Limit.now(arguments.memory, ensemble.chains), waiting=ahead)
    wanted = ensemble.wanted(keep_probabilities=arguments.save_probabilities)
    cleans = bool(ensemble.rules)
    limit = limit_for_cases(ensemble.chains, sources, wanted, limit, cleans=cleans)
    if arguments.memory or not arguments.max_memory:
        return limit
    peak = max(limit.peak_bytes(ensemble.chains, source, wanted, cleans=cleans) for source in sources.values())
    if peak > arguments.max_memory:
        print(
            f"note: --max-memory chose by the cases that were measured; these may take {peak / 1024**2:.0f}M. "
            "--memory keeps a bound, or refuses beforehand.",
            file=sys.stderr,
        )
    return limit


def flips(text: str) -> str | int:
    """Parse all, none or a number of flips."""
    if text in ("all", "none"):
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither all, none nor a number of flips")
