"""Everything a run needs to go on, in one file that holds tensors and JSON and nothing that could be executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from autoseg.errors import FileError, OptionError
from autoseg.files import atomic_path
from autoseg.training.loop import Hook, TrainingLoop

CHECKPOINT_FORMAT = "autoseg checkpoint 2"


def write_state(path: Path, state: Any) -> None:
    """Write nested dicts, lists, numbers, text and tensors as one safetensors file, whole or not at all."""
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    skeleton = _pack(state, tensors)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"format": CHECKPOINT_FORMAT, "state": json.dumps(skeleton)})


def read_state(path: Path) -> Any:
    """The inverse of write_state; FileError where the file is broken or something else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise FileError(
            path, f"is not a readable checkpoint ({error}).", "Delete it to start this fold again."
        ) from error
    if metadata.get("format") != CHECKPOINT_FORMAT:
        raise FileError(path, f"is not a checkpoint of this version ({metadata.get('format')!r}).", "Delete it.")
    return _unpack(json.loads(metadata["state"]), tensors)


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace tensors by references and dicts by lists of pairs (JSON would turn whole-number keys into text)."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"pairs": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_pack(item, tensors) for item in value]
    return value


def _unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _unpack(item, tensors) for key, item in value["pairs"]}
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    return value


class Checkpoints(Hook):
    """Writes a checkpoint at the end of every epoch, and takes a run up where the last one stands.

    settings: JSON of what decides the result; a checkpoint made under other settings is refused. Put this hook last, so
    that what the others did in the epoch is in the file.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = settings

    def start(self, loop: TrainingLoop) -> None:
        """Restore weights, optimiser, hooks, random state and position from the file, where there is one."""
        if not self.path.exists():
            return
        state = read_state(self.path)
        self._check_settings(state["settings"])
        loop.network.load_state_dict(state["network"])
        loop.optimizer.load_state_dict(state["optimizer"])
        if loop.computation.scaler is not None and state["scaler"]:
            loop.computation.scaler.load_state_dict(state["scaler"])
        for hook in loop.hooks:
            hook.restore(state["hooks"].get(type(hook).__name__, {}))
        torch.set_rng_state(state["random"])
        if torch.cuda.is_available() and state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"][: torch.cuda.device_count()])
        loop.stop = state["stop"]
        loop.continue_from(iteration=state["iteration"], epoch=state["epoch"], seconds=state["seconds"])

    def after_epoch(self, loop: TrainingLoop) -> None:
        """Write the state from which the next epoch starts."""
        scaler = loop.computation.scaler
        state = {
            "settings": self.settings,
            "iteration": loop.iteration,
            "epoch": loop.record.epoch + 1,
            "seconds": loop.seconds,
            "stop": loop.stop,
            "network": dict(loop.network.state_dict()),
            "optimizer": loop.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
            "hooks": {type(hook).__name__: hook.state() for hook in loop.hooks},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        write_state(self.path, state)

    def _check_settings(self, earlier: dict[str, Any]) -> None:
        differing = sorted(key for key in self.settings if self.settings[key] != earlier.get(key))
        if differing:
            key = differing[0]
            raise OptionError(
                f"{self.path} was started with {key} = {earlier.get(key)!r}, not {self.settings[key]!r}.",
                "Give the same options to continue, or --restart to begin this fold again.",
            )
