"""In which number format a network is computed on this machine."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.errors import OptionError
from autoseg.files import checksum_of, to_json
from autoseg.plans import Ints, NetworkSpec
from autoseg.runtime.cache import machine, remembered
from autoseg.runtime.child import ChildError, answer_of
from autoseg.runtime.threads import current_threads

if TYPE_CHECKING:
    from autoseg.runtime.bf16_probe import ProbeAnswer, ProbeRequest

PRECISIONS = ("fp32", "bf16", "fp16")
WORST_ERROR = 0.05  # a right bf16 convolution is off by about .003
WORTH_IT = 0.95  # of the fp32 step's seconds
LONGEST_EDGE = 64  # what goes wrong does so at short edges; longer ones are cut for the probe
PROBE_TIMEOUT_SECONDS = 300
LOG = logging.getLogger(__name__)
_unanswered: set[str] = set()
"""Checksums of what was asked in this process without an answer: asked again in the next one."""


def autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    """The context in which to run a forward pass. precision: fp32, bf16 or fp16. device: a torch device."""
    import torch

    if precision == "fp32":
        return contextlib.nullcontext()
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(torch.device(device).type, dtype=kinds[precision])


def choose_precision(
    spec: NetworkSpec, patch_size: Sequence[int], batch_size: int, *, device: str, wanted: str = "auto"
) -> str:
    """fp32, bf16 or fp16, for a network and its patches on a device; what is wanted unless that is auto.

    A GPU gets bf16, or fp16 where it has no bf16. A CPU gets bf16 where it has instructions for it and a probe of the
    network's own layers finds it right and faster; the probe takes seconds and is remembered, for as long as the
    process lives where it failed for a reason that may pass.
    """
    if wanted != "auto":
        return _wanted(wanted, device)
    kind = device.partition(":")[0]
    if kind == "cuda":
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if kind != "cpu" or not has_bf16_instructions():
        return "fp32"
    request = probe_request(spec, patch_size, batch_size)
    key = {"machine": machine(), "request": to_json(request)}
    if checksum_of(key) in _unanswered:
        return "fp32"
    try:
        return remembered("bf16", key, lambda: {"precision": precision_after(run_probe(request))})["precision"]
    except ChildError as error:
        LOG.warning("bf16 could not be tried for a network: %s. Until the next command it computes in fp32.", error)
        _unanswered.add(checksum_of(key))
        return "fp32"


def _wanted(wanted: str, device: str) -> str:
    if wanted not in PRECISIONS:
        raise OptionError(f"There is no precision {wanted!r}.", f"Known: auto, {', '.join(PRECISIONS)}.")
    if wanted == "fp16" and device == "cpu":
        raise OptionError("fp16 on a CPU is no faster than fp32 and less exact.", "Use --precision auto or bf16.")
    return wanted


def has_bf16_instructions() -> bool:
    """Whether this CPU multiplies bf16 numbers itself; emulated, they are slower than fp32."""
    return bool(_instructions() & {"amx_bf16", "avx512_bf16", "bf16"})


def has_int8_instructions() -> bool:
    """Whether this CPU adds up products of int8 numbers in 32 bits; others do so in 16, which can saturate."""
    return bool(_instructions() & {"amx_int8", "avx512_vnni", "avx_vnni", "asimddp"})


def _instructions() -> set[str]:
    """What the system tells of the processors, word by word; nothing where it tells nothing."""
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return set()


def probe_request(spec: NetworkSpec, patch_size: Sequence[int], batch_size: int) -> ProbeRequest:
    """Every distinct convolution of the network, and a training step of at most LONGEST_EDGE per axis."""
    from autoseg.networks.cost import convolutions
    from autoseg.runtime.bf16_probe import ProbeRequest

    layers = [replace(layer, edges=_cut(layer.edges)) for layer in convolutions(spec, patch_size, batch_size)]
    patch = tuple(
        min(edge, max(divisor, LONGEST_EDGE // divisor * divisor))
        for edge, divisor in zip(patch_size, spec.divisor, strict=True)
    )
    return ProbeRequest(tuple(dict.fromkeys(layers)), current_threads(), spec, patch, batch_size)


def _cut(edges: Ints) -> Ints:
    return tuple(min(edge, LONGEST_EDGE) for edge in edges)


def run_probe(
    request: ProbeRequest, command: Sequence[str] = ("-m", "autoseg.runtime.bf16_probe")
) -> ProbeAnswer | None:
    """Have a child process answer; None where it crashes. command: another child.

    Raises ChildError where it gives no answer for a reason that may pass.
    """
    from autoseg.runtime.bf16_probe import ProbeAnswer

    try:
        return answer_of(command, request, ProbeAnswer, timeout_seconds=PROBE_TIMEOUT_SECONDS)
    except ChildError as error:
        if error.passing:
            raise
        LOG.debug("The bf16 probe failed: %s", error)
        return None


def precision_after(found: ProbeAnswer | None) -> str:
    """bf16 where the probe came back, every layer is right, and the step is worth it; else fp32."""
    if found is None or any(error is None or error > WORST_ERROR for error in found.errors):
        return "fp32"
    fp32_seconds, bf16_seconds = found.seconds
    return "bf16" if bf16_seconds < WORTH_IT * fp32_seconds else "fp32"
