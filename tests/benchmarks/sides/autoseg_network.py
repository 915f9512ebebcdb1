"""autoseg's engine on windows, nothing else: autoseg_network.py REQUEST ANSWER."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch

from autoseg.files import read_json, write_json
from autoseg.inference.backends import EngineOptions, find_backend
from autoseg.inference.backends.choice import Task, choose
from autoseg.networks import build_network
from autoseg.runtime import use_threads

sys.path.insert(0, str(Path(__file__).parents[1]))

from comparison.gpu import spec_of

MANY_WINDOWS = 1e6
"""So that the engines are measured."""


def main(request_file: str, answer_file: str) -> None:
    """Seconds per window of each patch, by the engine that was found fastest; and that engine's name."""
    request = read_json(request_file)
    threads, spec, answer = use_threads(), spec_of(tuple(request["widths"])), {}
    for edges in request["patches"]:
        patch, batch = tuple(edges), request["batch"]
        choice = choose(Task(spec, patch, batch, threads, MANY_WINDOWS))
        engine = find_backend(choice.backend).compile(
            build_network(spec), EngineOptions(patch, choice.precision, threads)
        )
        windows: Any = torch.randn(batch, 1, *patch)
        seconds = []
        for _ in range(request["warm_up"] + request["repeats"]):
            began = time.perf_counter()
            engine(windows)
            seconds.append((time.perf_counter() - began) / batch)
        engine_name = f"{choice.backend} in {choice.precision}"
        answer["x".join(map(str, patch))] = {"engine": engine_name, "seconds": seconds[request["warm_up"] :]}
    write_json(answer_file, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
