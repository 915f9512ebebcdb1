"""autoseg_export: a model as a folder that runs without torch and without autoseg."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from autoseg.cli import app

EPILOG = """examples:
  autoseg_export FOLDER --format onnx -o DEPLOYED
  autoseg_export FOLDER --format openvino -o DEPLOYED --folds 0 --flips none
  autoseg_export FOLDER --format openvino --precision int8 -o DEPLOYED

  python DEPLOYED/segment.py CT.nii.gz -o labels.nii.gz      needs numpy, scipy, nibabel and onnxruntime or openvino"""


def make_parser() -> argparse.ArgumentParser:
    """The options of autoseg_export."""
    from autoseg.cli.predict import flips

    parser = app.parser("Write a model as a folder that runs without torch and without autoseg.", EPILOG)
    parser.add_argument("model", type=Path, metavar="FOLDER", help="the model folder")
    parser.add_argument("--format", required=True, choices=("onnx", "openvino"), help="of the networks")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder that is made")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"), help="of the networks (default: fp32)")
    parser.add_argument("--folds", nargs="+", metavar="N", help="folds to average, or 'all' (default: every one)")
    parser.add_argument("--overlap", type=float, default=0.5, help="of neighbouring windows (default: 0.5)")
    parser.add_argument(
        "--flips",
        type=flips,
        metavar="all|none|N",
        help="average over flipped copies, as in autoseg_predict (default: what the plan says)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 2 for an error of the user's."""
    return app.run(export, make_parser(), argv)


def export(arguments: argparse.Namespace) -> int:
    """Write the folder and say what is in it."""
    from autoseg.exporting.folder import Export, export_model
    from autoseg.files import remove_partial_files
    from autoseg.inference.model_files import read_model_files
    from autoseg.inference.options import PredictionOptions
    from autoseg.inference.windows import Windows

    wanted = Export(arguments.format, arguments.precision)
    options = PredictionOptions(arguments.overlap, arguments.flips)
    Windows((1, 1, 1), options.overlap)  # refuses an overlap that is none
    files = read_model_files(arguments.model, folds=arguments.folds)
    if arguments.output.is_dir():
        remove_partial_files(arguments.output)
    deployment = export_model(files, wanted, arguments.output, options)
    count = sum(len(stage.networks) for stage in deployment.stages)
    size = sum(path.stat().st_size for path in (arguments.output / "networks").iterdir()) / 2**20
    print(f"exported: {arguments.output} ({count} network{'s' if count > 1 else ''}, {size:.1f} MiB)")
    channels = " ".join(f"{channel.name}.nii.gz" for channel in deployment.channels)
    print(f"next: python {arguments.output / 'segment.py'} {channels} -o labels.nii.gz")
    return 0
