"""How right and how fast engines are on this machine, for one network: run as a process of its own.

python -m autoseg.inference.backends.probe reads a ProbeRequest as JSON and writes a ProbeAnswer. An engine that crashes
takes this process with it and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.files import from_json, to_json
from autoseg.inference.arrays import on_host
from autoseg.memory import is_out_of_memory
from autoseg.plans import Ints, NetworkSpec

if TYPE_CHECKING:
    from torch import nn

    from autoseg.inference.backends import Engine

MOST_ROUNDS = 6
LONGEST_SECONDS = 15.0  # after which no further round is begun, once two are done
TOLERANCES = {"fp32": (1e-3, 0.05), "bf16": (0.1, 0.1), "int8": (0.1, 0.1)}
"""Of the logits, relative to torch's in fp32: on noise, and on the phantom, whose air is the same everywhere, so that
rounding errors of float32 sums do not cancel out. documentation/decisions/0080-inference-backends.md has figures. An
int8 network is calibrated for its own weights: it is held against what it said of the phantom where it was made and its
Dice was measured."""
SAMPLES = 64


@dataclass(frozen=True)
class Candidate:
    """A backend, by its registered name, in a precision."""

    backend: str
    precision: str

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


BASELINE = Candidate("torch", "fp32")


@dataclass(frozen=True)
class Calibrated:
    """A network in int8. file: OpenVINO's. answer: to the phantom where it was calibrated, see sampled()."""

    file: str
    answer: tuple[float, ...]


@dataclass(frozen=True)
class ProbeRequest:
    """What is to be tried on batches of patches.

    timed: against torch in fp32; else only the logits are compared. int8: the network that the precision int8 computes.
    """

    candidates: tuple[Candidate, ...]
    network: NetworkSpec
    patch_size: Ints
    batch_size: int
    threads: int
    timed: bool = True
    int8: Calibrated | None = None


@dataclass(frozen=True)
class Trial:
    """What was found about a candidate.

    errors: of its logits per input, |logits - torch's| / |torch's|, as many as the tolerances; None where not finite.
    seconds: median per batch. speedup: the median over rounds of the baseline's seconds by its own. Both are 0 where
    nothing was timed. failure: why it could not be tried, else empty. passing: whether that may be over another time.
    """

    candidate: Candidate
    errors: tuple[float | None, ...] = ()
    seconds: float = 0.0
    speedup: float = 0.0
    failure: str = ""
    passing: bool = False

    @property
    def refusal(self) -> str:
        """Why the candidate must not be used; empty where it may."""
        if self.failure:
            return self.failure
        for error, tolerance in zip(self.errors, TOLERANCES[self.candidate.precision], strict=True):
            if error is None:
                return "its logits are not finite"
            if error > tolerance:
                return f"its logits are off by {error:.2g} of torch's, more than {tolerance:g}"
        return ""


@dataclass(frozen=True)
class ProbeAnswer:
    """The trials in the order of the candidates."""

    trials: tuple[Trial, ...]


class Entrant:
    """A candidate while it is tried. errors: the last one per input."""

    def __init__(self, candidate: Candidate, request: ProbeRequest) -> None:
        self.candidate = candidate
        self.errors: dict[int, float] = {}
        self.seconds: list[float] = []
        self.failure = ""
        self._passing = False
        self._engine: Engine | None = None
        self._int8_error: float | None = None
        with self._failing():
            self._engine = engine(candidate, request)
            if candidate.precision == "int8" and request.int8 is not None:
                self._int8_error = answer_error(on_host(self._engine(lone_phantom(request))), request.int8)

    def compute(self, number: int, batch: np.ndarray, reference: np.ndarray, *, timed: bool) -> None:
        """Compute input number `number`."""
        with self._failing():
            if self._engine is None:
                return
            started = time.perf_counter()
            logits = on_host(self._engine(batch))
            seconds = time.perf_counter() - started
            known = self._int8_error
            self.errors[number] = relative_error(logits, reference) if known is None else known
            if timed:
                self.seconds.append(seconds)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Whatever an engine raises, it is not used again."""
        try:
            yield
        except Exception as error:
            self.failure = str(error).strip() or type(error).__name__
            self._passing = is_out_of_memory(error)
            self._engine = None

    def trial(self, baseline: Entrant) -> Trial:
        """What was found, beside the baseline, which ran in the same rounds."""
        if self.failure:
            return Trial(self.candidate, failure=self.failure, passing=self._passing)
        errors = tuple(error if math.isfinite(error) else None for error in self.errors.values())
        if not self.seconds or baseline.failure:
            return Trial(self.candidate, errors)
        ratios = [theirs / own for theirs, own in zip(baseline.seconds, self.seconds, strict=True)]
        return Trial(self.candidate, errors, statistics.median(self.seconds), statistics.median(ratios))


def answer(request: ProbeRequest) -> ProbeAnswer:
    """Try everything that is asked for, in this process.

    In turn, the baseline first; the first round is not timed, for there engines get ready.
    """
    import torch

    torch.set_num_threads(request.threads)
    inputs = [noise(request), phantom(request)]
    network = seasoned_network(request.network)
    with torch.inference_mode():
        references = [network(torch.from_numpy(batch)).numpy() for batch in inputs]
    wanted = dict.fromkeys((BASELINE, *request.candidates) if request.timed else request.candidates)
    entrants = {candidate: Entrant(candidate, request) for candidate in wanted}
    started = time.perf_counter()
    for number in range(MOST_ROUNDS if request.timed else len(inputs)):
        which = number % len(inputs)
        for entrant in entrants.values():
            entrant.compute(which, inputs[which], references[which], timed=request.timed and number > 0)
        if number and time.perf_counter() - started > LONGEST_SECONDS:
            break
    baseline = entrants[next(iter(entrants))]
    return ProbeAnswer(tuple(entrants[candidate].trial(baseline) for candidate in request.candidates))


def engine(candidate: Candidate, request: ProbeRequest) -> Engine:
    """The engine of a candidate for the network that is asked about."""
    from autoseg.inference.backends import EngineOptions, find_backend

    calibrated = None if request.int8 is None else Path(request.int8.file)
    options = EngineOptions(request.patch_size, candidate.precision, request.threads, calibrated=calibrated)
    return find_backend(candidate.backend).compile(seasoned_network(request.network), options)


def seasoned_network(spec: NetworkSpec) -> nn.Module:
    """A network whose every part has an effect on the logits, always the same one.

    Fresh normalisations have scale 1 and shift 0, and those that end a residual block scale 0, which would hide what an
    engine does there.
    """
    import torch

    from autoseg.networks import build_network
    from autoseg.networks.normalization import InstanceNorm

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = build_network(spec)
        for module in network.modules():
            if isinstance(module, InstanceNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
    return network.eval()


def noise(request: ProbeRequest) -> np.ndarray:
    """(B, C, *patch) float32 of standard normal noise."""
    import torch

    shape = (request.batch_size, request.network.in_channels, *request.patch_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).numpy()


def phantom(request: ProbeRequest) -> np.ndarray:
    """(B, C, *patch) as windows of a normalised CT: a body of uneven tissue in air that is the same everywhere.

    Channels after the first are masks of balls, as those of an earlier stage.
    """
    import torch

    axes = torch.meshgrid(*(torch.linspace(-1, 1, edge) for edge in request.patch_size), indexing="ij")
    grid = torch.stack(axes)
    tissue = 0.5 * torch.sin(5 * grid).sum(0) + 0.1 * torch.from_numpy(noise(request))[:, 0]
    radius = grid.square().sum(0).sqrt()
    image = torch.where(radius < 0.8, tissue, -1.8)
    masks = [(radius < 0.6 / number).float().expand_as(image) for number in range(1, request.network.in_channels)]
    return torch.stack([image, *masks], dim=1).numpy()


def lone_phantom(request: ProbeRequest) -> np.ndarray:
    """(1, C, *patch): the phantom by which an int8 network is recognised."""
    return phantom(replace(request, batch_size=1))


def sampled(logits: np.ndarray) -> tuple[float, ...]:
    """SAMPLES values of logits, evenly spread over them."""
    flat = logits.ravel()
    return tuple(float(flat[number * len(flat) // SAMPLES]) for number in range(SAMPLES))


def answer_error(logits: np.ndarray, known: Calibrated) -> float:
    """How far an int8 network is from what it said where it was calibrated."""
    return relative_error(np.array(sampled(logits)), np.array(known.answer))


def relative_error(logits: np.ndarray, reference: np.ndarray) -> float:
    """The norm of the difference by that of the reference; not finite where a value is not."""
    right = reference.astype(np.float64)
    return float(np.linalg.norm(logits.astype(np.float64) - right) / max(float(np.linalg.norm(right)), 1e-12))


def main() -> None:
    """Answer the request on standard input on standard output."""
    request = from_json(ProbeRequest, json.load(sys.stdin), "standard input")
    print(json.dumps(to_json(answer(request))))


if __name__ == "__main__":
    main()
