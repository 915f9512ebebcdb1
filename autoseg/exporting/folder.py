"""Writing a model as a folder of its own: networks in another format, model.json, and a script that runs them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.errors import FileError, OptionError
from autoseg.exporting.description import Deployment, check_describable, describe
from autoseg.files import atomic_path, write_json, write_text
from autoseg.inference.backends import find_backend
from autoseg.inference.calibration import find_int8, int8_files
from autoseg.inference.model_files import ModelFiles
from autoseg.inference.options import PredictionOptions
from autoseg.networks.storage import load_network
from autoseg.plans import StagePlan

FORMATS = {"onnx": ".onnx", "openvino": ".xml"}
BACKENDS_OF = {"onnx": "onnxruntime", "openvino": "openvino"}
DESCRIPTION = "model.json"
SCRIPT = Path(__file__).with_name("segment.py")
ORGANS = Path(__file__).with_name("organs.py")
"""The part of the script for organs that are segmented one by one."""
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


@dataclass(frozen=True)
class Export:
    """What is to be written. format: onnx or openvino. precision: fp32, or int8 where the model has that."""

    format: str
    precision: str = "fp32"

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        if self.format not in FORMATS or self.precision not in ("fp32", "int8"):
            raise OptionError(
                f"There is no export to {self.format} in {self.precision}.", "Known: onnx, openvino; fp32, int8."
            )
        if self.precision == "int8" and self.format != "openvino":
            raise OptionError("Networks in int8 are OpenVINO's.", "Give --format openvino.")


def export_model(files: ModelFiles, export: Export, folder: Path, options: PredictionOptions) -> Deployment:
    """Write the folder. model.json comes last: while it is missing, the folder is not finished.

    Raises OptionError where the model cannot be exported, FileError where the folder holds something else.
    """
    check_describable(files)
    find_backend(BACKENDS_OF[export.format])
    _check_folder(folder, files)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    networks = {}
    for stage, paths in zip(files.stages, files.weights, strict=True):
        if export.precision == "int8" and not find_int8(paths, organ=stage.shared_as):
            raise OptionError(
                f"The stage {stage.name} has no network in int8 that was accepted.",
                "Make one with autoseg_train --trainer int8 --from FOLDER.",
            )
        names = []
        for path in paths:
            name = f"networks/{stage.name}_{path.parent.name}{FORMATS[export.format]}"
            _write_network(path, stage, export, folder / name)
            names.append(name)
        networks[stage.name] = tuple(names)
    deployment = describe(files, networks, options, kind=export.format, precision=export.precision)
    (folder / ORGANS.name).unlink(missing_ok=True)
    for script in (SCRIPT, ORGANS) if deployment.organs else (SCRIPT,):
        write_text(folder / script.name, script.read_text(encoding="utf-8"))
    needed = ["numpy", "scipy", "nibabel", "SimpleITK", PACKAGES[export.format]]
    write_text(folder / "requirements.txt", "\n".join(needed) + "\n")
    write_json(folder / DESCRIPTION, deployment)
    return deployment


def _check_folder(folder: Path, files: ModelFiles) -> None:
    if folder.is_file():
        raise FileError(folder, "is a file.", "Give a folder for the exported model.")
    holds = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if holds and not holds <= {DESCRIPTION, "networks", SCRIPT.name, ORGANS.name, "requirements.txt", "__pycache__"}:
        raise FileError(folder, "holds other things than an exported model.", "Give a new folder.")


def _write_network(weights: Path, stage: StagePlan, export: Export, path: Path) -> None:
    """One network in the format, whole or not at all."""
    if export.precision == "int8":
        for source, target in zip(int8_files(weights, stage.shared_as), (path, path.with_suffix(".bin")), strict=True):
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
        return
    network: Any = load_network(weights, organ=stage.name)
    if export.format == "onnx":
        from autoseg.inference.backends.onnxruntime import exported

        with atomic_path(path) as temporary:
            temporary.write_bytes(exported(network))
        return
    from autoseg.inference.backends.openvino import converted, write_openvino

    write_openvino(converted(network, stage.patch_size), path)
