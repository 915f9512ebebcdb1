"""Which engine computes a network on this machine: what was asked for, or what was measured to be fastest."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from autoseg.errors import OptionError
from autoseg.files import from_json, to_json
from autoseg.inference.backends import find_backend, installed_backends
from autoseg.inference.backends.probe import (
    BASELINE,
    TOLERANCES,
    Calibrated,
    Candidate,
    ProbeAnswer,
    ProbeRequest,
    Trial,
)
from autoseg.plans import Ints, NetworkSpec
from autoseg.runtime import choose_precision
from autoseg.runtime.cache import machine, recalled, remembered
from autoseg.runtime.child import ChildError, answer_of
from autoseg.runtime.precision import has_bf16_instructions

AUTO = "auto"
WORTH_IT = 1.05  # times as fast as torch in fp32
PROBE = ("-m", "autoseg.inference.backends.probe")
PROBE_TIMEOUT_SECONDS = 600.0
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
    and accepted.
    """

    network: NetworkSpec
    patch_size: Ints
    batch_size: int
    threads: int
    windows: float
    int8: Calibrated | None = None

    def request(self, candidates: Sequence[Candidate], *, timed: bool) -> ProbeRequest:
        """The question to a child process."""
        int8 = self.int8 if any(one.precision == "int8" for one in candidates) else None
        return ProbeRequest(
            tuple(candidates), self.network, self.patch_size, self.batch_size, self.threads, timed, int8
        )


def choose(task: Task, *, backend: str = AUTO, precision: str = AUTO) -> Choice:
    """The engine for a task on a CPU.

    backend: a registered name, or auto: the fastest by a measurement in a child process, remembered for this machine,
    network, patch, batch, number of threads and versions of the packages. Where a measurement costs more than it can
    save and none is remembered, it is torch. precision: auto, fp32, bf16 or int8, of which auto takes the last only
    where the task has it. An engine other than torch is taken only after its logits were found to agree with torch's in
    fp32, an int8 one with what it said where it was calibrated. Raises OptionError for what was asked for and cannot
    be.
    """
    if precision not in (AUTO, "int8"):
        choose_precision(task.network, task.patch_size, task.batch_size, device="cpu", wanted=precision)
    candidates = possible(backend, precision, has_int8=task.int8 is not None)
    first = candidates[0]
    if len(candidates) > 1:
        request = task.request(candidates, timed=True)
        trials = _recalled(request)
        if trials is None and pays(task, len(candidates)):
            LOG.info("Measuring which engine computes this network fastest on this machine ...")
            trials = _tried(request)
        if trials is not None:
            return fastest(trials, backend)
    if first.backend == "torch":
        return _choice(first, "asked for" if backend != AUTO else "no measurement at hand, and too little work for one")
    request = task.request([first], timed=False)
    return fastest(_recalled(request) or _tried(request), backend)


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


def fastest(trials: Sequence[Trial], backend: str) -> Choice:
    """The fastest that agrees with torch, torch in fp32 where none is clearly faster. OptionError where none agrees."""
    refused = [f"{trial.candidate} was refused: {trial.refusal}" for trial in trials if trial.refusal]
    agreeing = [trial for trial in trials if not trial.refusal]
    if not agreeing:
        raise OptionError(
            f"The backend {backend} cannot be used here; {'; '.join(refused)}.", "Use --backend auto or torch."
        )
    best = max(agreeing, key=lambda trial: trial.speedup)
    if best.speedup < WORTH_IT:
        best = next((trial for trial in agreeing if trial.candidate == BASELINE), best)
    rival = f"{best.speedup:.2f} times as fast as torch fp32" if best.speedup else "asked for; agrees with torch fp32"
    return _choice(best.candidate, "; ".join([rival, *refused]))


def pays(task: Task, count: int) -> bool:
    """Whether measuring `count` engines costs less than the fastest of them may save."""
    windows_gained = SHARE_SAVED * task.windows - (count + 1) * BATCHES_PER_ENGINE * task.batch_size
    if windows_gained <= 0:
        return False
    from autoseg.networks.cost import network_cost  # a second or so, when it is first used

    work = network_cost(task.network, task.patch_size, 1).multiply_adds
    return windows_gained * work / (MULTIPLY_ADDS_PER_SECOND * task.threads) > START_SECONDS


def _choice(candidate: Candidate, reason: str) -> Choice:
    LOG.debug("%s: %s", candidate, reason)
    return Choice(candidate.backend, candidate.precision, reason)


def _recalled(request: ProbeRequest) -> tuple[Trial, ...] | None:
    kept = recalled("engines", _key(request))
    return None if kept is None else from_json(ProbeAnswer, kept, "a remembered measurement").trials


def _tried(request: ProbeRequest) -> tuple[Trial, ...]:
    return from_json(
        ProbeAnswer,
        remembered("engines", _key(request), lambda: to_json(ProbeAnswer(ask(request)))),
        "a measurement",
    ).trials


def ask(request: ProbeRequest) -> tuple[Trial, ...]:
    """Have a child process try the candidates; where it dies, each in a child of its own, to find out of which."""
    try:
        return answer_of(PROBE, request, ProbeAnswer, timeout_seconds=PROBE_TIMEOUT_SECONDS).trials
    except ChildError as error:
        if len(request.candidates) == 1:
            return (Trial(request.candidates[0], failure=str(error)),)
        return tuple(trial for one in request.candidates for trial in ask(replace(request, candidates=(one,))))


def _key(request: ProbeRequest) -> dict[str, Any]:
    versions = package_versions(one.backend for one in request.candidates)
    tolerances = {precision: list(errors) for precision, errors in TOLERANCES.items()}
    return {"machine": machine(), "versions": versions, "tolerances": tolerances, "request": to_json(request)}


def package_versions(backends: Iterable[str]) -> dict[str, str]:
    """What is installed of the packages that backends need, by name."""
    packages = {package for name in backends for package in find_backend(name).packages}
    return {package: _version(package) for package in sorted(packages)}


def _version(package: str) -> str:
    """The version of an installed package, also where it comes under another name, as onnxruntime-gpu."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ", ".join(f"{name} {version(name)}" for name in packages_distributions().get(package, []))
