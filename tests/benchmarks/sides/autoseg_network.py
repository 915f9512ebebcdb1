"""autoseg's engines on windows, nothing else: autoseg_network.py REQUEST ANSWER."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from autoseg.compression.int8 import calibrate
from autoseg.files import read_json, write_json
from autoseg.inference.backends import Engine, EngineOptions, find_backend
from autoseg.inference.backends.choice import Task, choose
from autoseg.networks import build_network
from autoseg.plans import Ints
from autoseg.runtime import use_threads
from autoseg.runtime.speed import plain_unet

MANY_WINDOWS = 1e6
"""So that the engines are measured."""
CALIBRATING_WINDOWS = 4
"""Enough for the speed; the values mean nothing."""


def main(request_file: str, answer_file: str) -> None:
    """Seconds per window of each patch by the engine that was found fastest, its name, and in int8 where asked for."""
    request = read_json(request_file)
    threads, spec, answer = use_threads(), plain_unet(tuple(request["widths"])), {}
    for edges in request["patches"]:
        patch, network = tuple(edges), build_network(spec)
        choice = choose(Task(spec, patch, 1, threads, MANY_WINDOWS))
        options = EngineOptions(patch, choice.precision, threads)
        engines = {"usual": find_backend(choice.backend).compile(network, options)}
        if request["int8"]:
            engines["int8"] = _in_int8(network, patch, threads)
        seconds = _measured(engines, torch.randn(1, 1, *patch).numpy(), request["warm_up"], request["repeats"])
        answer["x".join(map(str, patch))] = {"engine": f"{choice.backend} in {choice.precision}", **seconds}
    write_json(answer_file, answer)


def _in_int8(network: torch.nn.Module, patch: Ints, threads: int) -> Engine:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "int8.xml"
        calibrate(network, (torch.randn(1, 1, *patch) for _ in range(CALIBRATING_WINDOWS)), patch, path)
        return find_backend("openvino").compile(network, EngineOptions(patch, "int8", threads, calibrated=path))


def _measured(engines: dict[str, Engine], window: Any, warm_up: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each call after the first ones, the engines in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(warm_up + repeats):
        for name, engine in engines.items():
            began = time.perf_counter()
            engine(window)
            seconds[name].append(time.perf_counter() - began)
    return {name: times[warm_up:] for name, times in seconds.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
