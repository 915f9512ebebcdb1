"""Seconds per patch of networks on this machine, measured side by side in a process of its own.

python -m autoseg.compression.latency reads a LatencyRequest as JSON and writes a LatencyAnswer. The networks take
turns, so that what else the machine does meets all of them alike.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.errors import ResourceError
from autoseg.files import from_json, to_json
from autoseg.plans import Ints, NetworkSpec, StagePlan
from autoseg.runtime.child import ChildError, answer_of

ROUNDS = 7
LONGEST_SECONDS = 20.0
PLENTY_OF_WINDOWS = 1e6  # so many that measuring the engines pays
MEASURE = ("-m", "autoseg.compression.latency")
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class LatencyRequest:
    """What is to be measured: networks by one engine, in batches of batch_size patches."""

    networks: tuple[NetworkSpec, ...]
    backend: str
    precision: str
    patch_size: Ints
    batch_size: int
    threads: int
    device: str


@dataclass(frozen=True)
class LatencyAnswer:
    """seconds: per patch, the median over rounds, in the order of the networks."""

    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Latency:
    """Seconds per patch of the networks that were asked about, and by which engine."""

    seconds: tuple[float, ...]
    engine: str


def measured_latency(stage: StagePlan, networks: Sequence[NetworkSpec], *, device: str) -> Latency:
    """Seconds per patch of a stage's networks, by the engine that prediction would take for the first of them.

    Raises ResourceError where the engine fails.
    """
    import torch

    from autoseg.inference.backends.choice import Task, choose
    from autoseg.inference.predictor import usual_batch_size
    from autoseg.runtime import choose_precision

    batch, threads, full = usual_batch_size(stage, device), torch.get_num_threads(), networks[0]
    if device == "cpu":
        choice = choose(Task(full, stage.patch_size, batch, threads, PLENTY_OF_WINDOWS))
        backend, precision = choice.backend, choice.precision
    else:
        backend = "torch"
        precision = choose_precision(full, stage.patch_size, stage.batch_size, device=device, wanted="auto")
    request = LatencyRequest(tuple(networks), backend, precision, stage.patch_size, batch, threads, device)
    try:
        answer = answer_of(MEASURE, request, LatencyAnswer, timeout_seconds=TIMEOUT_SECONDS)
    except ChildError as error:
        raise ResourceError(f"The latency of {stage.name} could not be measured: {error}.") from error
    return Latency(answer.seconds, f"{backend} {precision}")


def answer(request: LatencyRequest) -> LatencyAnswer:
    """Measure in this process; the first round, in which engines get ready, is not counted."""
    import torch

    from autoseg.inference.backends import EngineOptions, find_backend
    from autoseg.inference.backends.probe import seasoned_network

    torch.set_num_threads(request.threads)
    options = EngineOptions(request.patch_size, request.precision, request.threads, device=request.device)
    backend = find_backend(request.backend)
    engines = [backend.compile(seasoned_network(spec), options) for spec in request.networks]
    shape = (request.batch_size, request.networks[0].in_channels, *request.patch_size)
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(request.device)
    seconds: list[list[float]] = [[] for _ in engines]
    started = time.perf_counter()
    for number in range(ROUNDS + 1):
        for engine, found in zip(engines, seconds, strict=True):
            begun = time.perf_counter()
            engine(batch).sum().item()
            if number:
                found.append((time.perf_counter() - begun) / request.batch_size)
        if number > 1 and time.perf_counter() - started > LONGEST_SECONDS:
            break
    return LatencyAnswer(tuple(statistics.median(found) for found in seconds))


def main() -> None:
    """Answer the request on standard input on standard output."""
    request = from_json(LatencyRequest, json.load(sys.stdin), "standard input")
    print(json.dumps(to_json(answer(request))))


if __name__ == "__main__":
    main()
