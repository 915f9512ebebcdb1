"""Which engine computes a network on this machine: what was asked for, or what was measured to be fastest."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autoseg.errors import OptionError, ResourceError
from autoseg.files import from_json, to_json
from autoseg.inference.backends import find_backend, installed_backends, installed_version
from autoseg.inference.backends.probe import (
    BASELINE,
    TOLERANCES,
    Calibrated,
    Candidate,
    ProbeAnswer,
    ProbeRequest,
    Trial,
)
from autoseg.inference.backends.probe_memory import needed_bytes
from autoseg.networks.closed_form import multiply_adds
from autoseg.plans import Ints, NetworkSpec
from autoseg.runtime import choose_precision
from autoseg.runtime.cache import machine, recalled, remember
from autoseg.runtime.child import ChildError, answer_of
from autoseg.runtime.precision import has_bf16_instructions

AUTO = "auto"
WORTH_IT = 1.05  # times as fast as torch in fp32
PROBE = ("-m", "autoseg.inference.backends.probe")
PROBE_TIMEOUT_SECONDS = 600.0
"""Of one process for all engines, and again of one for each of them, all together."""
LOG = logging.getLogger(__name__)

# Whether a measurement pays is decided before anything is measured, by figures of an AVX2 machine.
MULTIPLY_ADDS_PER_SECOND = 2e10  # of torch in fp32, per thread
START_SECONDS = 6.0  # of the child process, and of what engines need to get ready
BATCHES_PER_ENGINE = 5  # that a measurement computes; the reference counts as one more engine
SHARE_SAVED = 0.4  # of torch's time, by the fastest engine


@dataclass(frozen=True)
class Choice:
    """The engine of a stage. reason: why it is this one, for the user."""

    backend: str
    precision: str
    reason: str


@dataclass(frozen=True)
class Task:
    """What is to be computed on a CPU.

    windows: how many there are ahead, over all volumes, flips and folds. int8: the network in int8, where that was made
    and accepted. memory_bytes: what this process may hold, with the one that measures; None for no bound.
    """

    network: NetworkSpec
    patch_size: Ints
    batch_size: int
    threads: int
    windows: float
    int8: Calibrated | None = None
    memory_bytes: int | None = None

    def request(self, candidates: Sequence[Candidate], *, timed: bool) -> ProbeRequest:
        """The question to a child process."""
        int8 = self.int8 if any(one.precision == "int8" for one in candidates) else None
        return ProbeRequest(
            tuple(candidates), self.network, self.patch_size, self.batch_size, self.threads, timed, int8
        )

    def has_room(self, request: ProbeRequest) -> bool:
        """Whether a child process may answer a request at once."""
        return self.memory_bytes is None or needed_bytes(request) <= self.memory_bytes


def choose(task: Task, *, backend: str = AUTO, precision: str = AUTO) -> Choice:
    """The engine for a task on a CPU.

    backend: a registered name, or auto: the fastest by a measurement in a child process, remembered for this machine,
    network, patch, batch, number of threads and versions of the packages. Where a measurement costs more than it can
    save, or more memory than there may be, and none is remembered, it is torch in fp32. precision: auto, fp32, bf16 or
    int8, of which auto takes the last only where the task has it. Any engine but torch in fp32 is taken only after its
    logits were found to agree with that, those of an int8 one with what it said where it was calibrated. Raises
    OptionError for what was asked for and cannot be, ResourceError where there is too little memory to find out.
    """
    if precision not in (AUTO, "int8"):
        choose_precision(task.network, task.patch_size, task.batch_size, device="cpu", wanted=precision)
    candidates = possible(backend, precision, has_int8=task.int8 is not None)
    first, reason = candidates[0], "the only one that is installed"
    if len(candidates) > 1:
        trials, reason = _measured(task, task.request(candidates, timed=True))
        if trials is not None:
            return fastest(trials)
    if first == BASELINE:
        return _choice(first, reason if backend == AUTO else "asked for")
    return fastest(_compared(task, first))


def possible(backend: str, precision: str, *, has_int8: bool = False) -> list[Candidate]:
    """What may be taken, first the one for where nothing was measured. OptionError where there is nothing."""
    if precision == "int8" and not has_int8:
        raise OptionError(
            "The model holds no network in int8 that was accepted.",
            "Make one with autoseg_train --trainer int8 --from FOLDER, or use --precision auto.",
        )
    names = installed_backends() if backend == AUTO else [backend]
    wanted = [precision] if precision != AUTO else ["fp32", "bf16"] if has_bf16_instructions() else ["fp32"]
    wanted += ["int8"] if precision == AUTO and has_int8 else []
    found = [Candidate(name, one) for one in wanted for name in names if one in find_backend(name).precisions]
    if not found:
        known = ", ".join(find_backend(backend).precisions)
        raise OptionError(f"The backend {backend} does not compute {precision}.", f"It has {known}.")
    return found


def fastest(trials: Sequence[Trial]) -> Choice:
    """The fastest that agrees with torch in fp32; that itself, if it took part, where none is clearly faster.

    Torch in fp32 is what the others are held against: it is taken whatever became of its own trial. Raises OptionError
    where it took no part and none agrees.
    """
    usable = [trial for trial in trials if trial.candidate == BASELINE or not trial.refusal]
    refused = [f"{trial.candidate} was refused: {trial.refusal}" for trial in trials if trial not in usable]
    if not usable:
        raise OptionError(
            f"No engine that was asked for can be used here; {'; '.join(refused)}.",
            "Leave --backend and --precision out, or use --backend torch --precision fp32.",
        )
    best = max(usable, key=lambda trial: trial.speedup)
    if best.speedup < WORTH_IT:
        best = next((trial for trial in usable if trial.candidate == BASELINE), best)
    return _choice(best.candidate, "; ".join([_merit(best), *refused]))


def _merit(trial: Trial) -> str:
    if trial.speedup:
        return f"{trial.speedup:.2f} times as fast as torch fp32"
    return "no other was measured to be faster" if trial.candidate == BASELINE else "asked for; agrees with torch fp32"


def pays(task: Task, count: int) -> bool:
    """Whether measuring `count` engines costs less than the fastest of them may save."""
    windows_gained = SHARE_SAVED * task.windows - (count + 1) * BATCHES_PER_ENGINE * task.batch_size
    if windows_gained <= 0:
        return False
    work = multiply_adds(task.network, task.patch_size)
    return windows_gained * work / (MULTIPLY_ADDS_PER_SECOND * task.threads) > START_SECONDS


def _choice(candidate: Candidate, reason: str) -> Choice:
    LOG.debug("%s: %s", candidate, reason)
    return Choice(candidate.backend, candidate.precision, reason)


def _measured(task: Task, request: ProbeRequest) -> tuple[tuple[Trial, ...] | None, str]:
    """What is remembered of several candidates or measured now; else None, and why not."""
    kept = _recalled(request)
    if kept is not None:
        return kept, ""
    if not pays(task, len(request.candidates)):
        return None, "no measurement at hand, and too little work for one"
    together = task.has_room(request)
    if not together and not all(task.has_room(one) for one in _each(request)):
        return None, "no measurement at hand, and too little --memory for one"
    LOG.info("Measuring which engine computes this network fastest on this machine ...")
    return _tried(request, together=together), ""


def _compared(task: Task, candidate: Candidate) -> tuple[Trial, ...]:
    """What is remembered of one candidate or found now, without timing it."""
    request = task.request([candidate], timed=False)
    kept = _recalled(request)
    if kept is None and not task.has_room(request):
        needed, limit = (count / 2**30 for count in (needed_bytes(request), task.memory_bytes or 0))
        raise ResourceError(
            f"Finding out whether {candidate} computes right takes {needed:.2f}G, more than --memory {limit:.2f}G.",
            "Give more, or --backend torch --precision fp32, which needs no test.",
        )
    return kept or _tried(request)


def _recalled(request: ProbeRequest) -> tuple[Trial, ...] | None:
    kept = recalled("engines", _key(request))
    return None if kept is None else from_json(ProbeAnswer, kept, "a remembered measurement").trials


def _tried(request: ProbeRequest, *, together: bool = True) -> tuple[Trial, ...]:
    """What is found now; it is remembered, unless it may come out otherwise another time."""
    trials = ask(request) if together else ask_each(request)
    if not all(trial.failure for trial in trials) and not any(trial.passing for trial in trials):
        remember("engines", _key(request), to_json(ProbeAnswer(trials)))
    return trials


def ask(request: ProbeRequest, *, seconds: float = PROBE_TIMEOUT_SECONDS) -> tuple[Trial, ...]:
    """Have a child process try the candidates; where it dies, each in a child of its own, to find out of which."""
    try:
        return answer_of(PROBE, request, ProbeAnswer, timeout_seconds=seconds).trials
    except ChildError as error:
        if len(request.candidates) == 1:
            return (Trial(request.candidates[0], failure=str(error), passing=error.passing),)
        return ask_each(request)


def ask_each(request: ProbeRequest) -> tuple[Trial, ...]:
    """Have each candidate tried in a child of its own, one after the other, with an equal share of the time."""
    seconds = PROBE_TIMEOUT_SECONDS / len(request.candidates)
    return tuple(trial for one in _each(request) for trial in ask(one, seconds=seconds))


def _each(request: ProbeRequest) -> list[ProbeRequest]:
    return [replace(request, candidates=(one,)) for one in request.candidates]


def _key(request: ProbeRequest) -> dict[str, Any]:
    """What an answer depends on. An int8 network is known by what it says, wherever its file lies."""
    asked = to_json(request)
    if request.int8 is not None:
        del asked["int8"]["file"]
    versions = package_versions(one.backend for one in request.candidates)
    tolerances = {precision: list(errors) for precision, errors in TOLERANCES.items()}
    return {"machine": machine(), "versions": versions, "tolerances": tolerances, "request": asked}


def package_versions(backends: Iterable[str]) -> dict[str, str]:
    """What is installed of the packages that backends need, by name."""
    packages = {package for name in backends for package in find_backend(name).packages}
    return {package: installed_version(package) for package in sorted(packages)}
