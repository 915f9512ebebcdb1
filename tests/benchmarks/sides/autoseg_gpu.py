"""autoseg on a GPU, without data: autoseg_gpu.py REQUEST ANSWER.

A step is what the training loop does with a batch that is on the GPU already; a window what an engine does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from autoseg.data.source import Batch
from autoseg.files import read_json, write_json
from autoseg.inference.backends import EngineOptions, find_backend
from autoseg.labels import Labels
from autoseg.losses import build_loss
from autoseg.losses.deep_supervision import DeepSupervision
from autoseg.losses.target import Target
from autoseg.networks import build_network
from autoseg.plans import NetworkSpec
from autoseg.runtime import autocast, choose_precision
from autoseg.runtime.gpu import is_gpu, make_ready
from autoseg.runtime.speed import plain_unet
from autoseg.training.loop import Computation, Hook, RunLength, TrainingLoop
from autoseg.training.optimizers import find_optimizer

LABELS = Labels({"first": (1,), "second": (2,)})


class Clock(Hook):
    """The time at the end of every step, once the GPU has finished it."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.times: list[float] = []

    def after_step(self, loop: TrainingLoop) -> None:
        """Note the time."""
        self.times.append(now(self.device))


def now(device: str) -> float:
    """Seconds, after everything that was asked of the device."""
    if is_gpu(device):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(call: Callable[[], Any], request: dict[str, Any]) -> list[float]:
    """Seconds of each repeat, after a warm-up."""
    times = []
    for _ in range(request["warm_up"] + request["repeats"]):
        started = now(request["device"])
        call()
        times.append(now(request["device"]) - started)
    return times[request["warm_up"] :]


def product_seconds(precision: str, request: dict[str, Any]) -> list[float]:
    """Of two square matrices, after which the peak is named."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    matrix = torch.randn(request["edge"], request["edge"], device=request["device"]).to(kind)
    return timed(lambda: matrix @ matrix, request)


def step_seconds(spec: NetworkSpec, precision: str, request: dict[str, Any], *, compiled: bool) -> list[float]:
    """Of a training step."""
    device, shape = request["device"], (request["batch"], *request["patch"])
    network: Any = build_network(spec)
    network.to(device, memory_format=torch.channels_last_3d)
    labels = torch.randint(0, 3, shape, device=device)
    target = Target(labels, torch.ones(request["batch"], 2, dtype=torch.bool, device=device))
    batch = Batch(torch.randn(shape, device=device)[:, None], target)
    choice, clock = find_optimizer("sgd"), Clock(device)
    TrainingLoop(
        network,
        DeepSupervision(build_loss("dice+ce", LABELS, batch_dice=False)),
        choice.make(list(network.parameters()), choice.learning_rate),
        batches=partial(_repeated, batch),
        length=RunLength(request["warm_up"] + request["repeats"] + 1, epochs=1),
        computation=Computation(
            device,
            partial(autocast, precision, device),
            choice.clip_norm,
            torch.amp.GradScaler(device) if precision == "fp16" else None,
            torch.channels_last_3d,
            compiled,
        ),
        hooks=[clock],
    ).run()
    seconds = [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]
    return seconds[request["warm_up"] :]


def _repeated(batch: Batch, start: int) -> Iterator[Batch]:
    while True:
        yield batch


def window_seconds(spec: NetworkSpec, precision: str, request: dict[str, Any], *, compiled: bool) -> list[float]:
    """Of one window of prediction, that is on the device already."""
    device, patch = request["device"], tuple(request["patch"])
    options = EngineOptions(patch, precision, torch.get_num_threads(), device=device, compiled=compiled)
    engine = find_backend("torch").compile(build_network(spec), options)
    window = torch.randn(1, 1, *patch, device=device)
    return timed(lambda: engine(window), request)


def main(request_file: str, answer_file: str) -> None:
    """Time the product, steps and windows, each as it is and compiled."""
    request = read_json(request_file)
    device, spec = request["device"], plain_unet(tuple(request["widths"]))
    make_ready(device)
    precision = choose_precision(spec, request["patch"], request["batch"], device=device)
    seconds = {"product": product_seconds(precision, request)}
    for way, compiled in {"as it is": False, "compiled": True}.items():
        if compiled and not is_gpu(device):
            continue
        seconds[f"step {way}"] = step_seconds(spec, precision, request, compiled=compiled)
        seconds[f"window {way}"] = window_seconds(spec, precision, request, compiled=compiled)
    name = torch.cuda.get_device_name(device) if is_gpu(device) else device
    write_json(answer_file, request | {"device": name, "precision": precision, "seconds": seconds})


if __name__ == "__main__":
    main(*sys.argv[1:])
