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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.errors import ResourceError
from autoseg.files import from_json, to_json
from autoseg.plans import Ints, NetworkSpec, StagePlan
from autoseg.runtime.child import ChildError, answer_of

if TYPE_CHECKING:
    from autoseg.inference.backends import Engine

ROUNDS = 7
LONGEST_SECONDS = 20.0
PLENTY_OF_WINDOWS = 1e6  # so many that measuring the engines pays
MEASURE = ("-m", "autoseg.compression.latency")
TIMEOUT_SECONDS = 600.0
INT8_BACKEND = "openvino"
INT8_ENGINE = f"{INT8_BACKEND} int8"


@dataclass(frozen=True)
class LatencyRequest:
    """What is to be measured: networks by one engine, in batches of batch_size patches.

    networks: the full one first; those in int8, which OpenVINO computes on a CPU, by their files.
    """

    networks: tuple[NetworkSpec | str, ...]
    backend: str
    precision: str
    patch_size: Ints
    batch_size: int
    threads: int
    device: str

    @property
    def full(self) -> NetworkSpec:
        """The first network: all of them have its inputs and outputs."""
        first = self.networks[0]
        assert isinstance(first, NetworkSpec)
        return first


@dataclass(frozen=True)
class LatencyAnswer:
    """seconds: per patch, the median over rounds, in the order of the networks."""

    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Latency:
    """Seconds per patch of the networks that were asked about, and by which engine; in int8 that is INT8_ENGINE."""

    seconds: tuple[float, ...]
    engine: str


def measured_latency(stage: StagePlan, networks: Sequence[NetworkSpec | str], *, device: str) -> Latency:
    """Seconds per patch of a stage's networks, those in floats by the engine that prediction would take for the first.

    networks: as in LatencyRequest. Raises ResourceError where an engine fails.
    """
    from autoseg.inference.backends.choice import Task, choose
    from autoseg.inference.predictor import usual_batch_size
    from autoseg.runtime import choose_precision, current_threads

    batch, threads = usual_batch_size(stage, device), current_threads()
    request = LatencyRequest(tuple(networks), "torch", "fp32", stage.patch_size, batch, threads, device)
    if device == "cpu":
        choice = choose(Task(request.full, stage.patch_size, batch, threads, PLENTY_OF_WINDOWS))
        request = replace(request, backend=choice.backend, precision=choice.precision)
    else:
        found = choose_precision(request.full, stage.patch_size, stage.batch_size, device=device, wanted="auto")
        request = replace(request, precision=found)
    try:
        answer = answer_of(MEASURE, request, LatencyAnswer, timeout_seconds=TIMEOUT_SECONDS)
    except ChildError as error:
        raise ResourceError(f"The latency of {stage.name} could not be measured: {error}.") from error
    return Latency(answer.seconds, f"{request.backend} {request.precision}")


def answer(request: LatencyRequest) -> LatencyAnswer:
    """Measure in this process; the first round, in which engines get ready, is not counted."""
    import torch

    torch.set_num_threads(request.threads)
    engines = [_engine(network, request) for network in request.networks]
    shape = (request.batch_size, request.full.in_channels, *request.patch_size)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    batch = drawn.numpy() if request.device == "cpu" else drawn.to(request.device)
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


def _engine(network: NetworkSpec | str, request: LatencyRequest) -> Engine:
    from autoseg.inference.backends import EngineOptions, find_backend
    from autoseg.inference.backends.probe import seasoned_network

    options = EngineOptions(request.patch_size, request.precision, request.threads, device=request.device)
    if isinstance(network, NetworkSpec):
        return find_backend(request.backend).compile(seasoned_network(network), options)
    options = replace(options, precision="int8", calibrated=Path(network))
    return find_backend(INT8_BACKEND).compile(seasoned_network(request.full), options)


def main() -> None:
    """Answer the request on standard input on standard output."""
    request = from_json(LatencyRequest, json.load(sys.stdin), "standard input")
    print(json.dumps(to_json(answer(request))))


if __name__ == "__main__":
    main()
