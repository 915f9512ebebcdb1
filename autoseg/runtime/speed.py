"""How fast this machine trains: seconds per multiply-add, measured once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autoseg.plans import LevelSpec, NetworkSpec
from autoseg.runtime.cache import machine, remembered
from autoseg.runtime.precision import autocast, choose_precision
from autoseg.runtime.threads import tell_torch

if TYPE_CHECKING:
    from torch import nn

PROBE_WIDTHS = (16, 32, 64, 128)
PROBE_PATCHES = {"cpu": (32, 48, 32), "cuda": (96, 96, 96)}
BATCH_SIZE = 2
THREAD_EFFICIENCY = 0.9
"""n threads are n**0.9 times as fast as one: 1.87 for two, as measured on an idle machine; 12 for sixteen."""
FORWARD_PASSES_PER_STEP = 3  # the backward pass takes the gradients of the input and of the weights


def seconds_per_multiply_add(device: str) -> float:
    """Seconds that training takes per multiply-add of the forward and backward passes, on a torch device.

    Measured on steps of a small 3D U-Net in the precision that choose_precision finds, in under three seconds, and
    remembered per machine. A step of another network takes about 3 * network_cost(...).multiply_adds times as long.
    """
    import torch

    tell_torch()
    kind = torch.device(device).type
    patch = PROBE_PATCHES.get(kind, PROBE_PATCHES["cpu"])
    spec = probe_spec()
    precision = choose_precision(spec, patch, BATCH_SIZE, device=device)
    key = {"machine": machine(), "device": device_name(device), "precision": precision, "patch": list(patch)}
    return remembered("speed", key, lambda: measure(spec, patch, device=device, precision=precision))


def probe_spec() -> NetworkSpec:
    """The network that is timed."""
    return plain_unet(PROBE_WIDTHS)


def plain_unet(widths: Sequence[int], *, out_channels: int = 3) -> NetworkSpec:
    """A 3D U-Net of one channel with two convolutions on either side, each level half as fine as the one above."""
    last = len(widths) - 1
    levels = [
        LevelSpec(
            stride=(2 if number else 1,) * 3,
            kernel=(3,) * 3,
            encoder_widths=(width,) * 2,
            upsampled_width=width if number < last else None,
            decoder_widths=(width,) * 2 if number < last else (),
        )
        for number, width in enumerate(widths)
    ]
    return NetworkSpec("unet", 3, 1, out_channels, tuple(levels))


def device_name(device: str) -> str:
    """The name of a GPU; "cpu" for a CPU, which machine() describes."""
    import torch

    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def measure(spec: NetworkSpec, patch: tuple[int, ...], *, device: str, precision: str) -> float:
    """Seconds per multiply-add of the faster of two training steps, after one to warm up.

    A CPU is measured with one thread, by the processor's time, and shared out among the threads: what else runs on the
    machine does not count. Timed together, two threads beside one busy neighbour were fifteen times slower than one.
    """
    import torch

    from autoseg.networks import build_network
    from autoseg.networks.cost import network_cost

    with torch.random.fork_rng(devices=[]):
        network: Any = build_network(spec)
        network.to(device=device, memory_format=torch.channels_last_3d)
        image = torch.randn(BATCH_SIZE, spec.in_channels, *patch, device=device)
    image = image.contiguous(memory_format=torch.channels_last_3d)
    threads = torch.get_num_threads()
    is_cpu = image.device.type == "cpu"
    torch.set_num_threads(1 if is_cpu else threads)
    try:
        seconds = [_step_seconds(network, image, autocast_of=(precision, device)) for _ in range(3)]
    finally:
        torch.set_num_threads(threads)
    step = min(seconds[1:]) / (threads**THREAD_EFFICIENCY if is_cpu else 1)
    return step / (FORWARD_PASSES_PER_STEP * network_cost(spec, patch, BATCH_SIZE).multiply_adds)


def _step_seconds(network: nn.Module, image: Any, *, autocast_of: tuple[str, str]) -> float:
    import torch

    clock = time.perf_counter if image.is_cuda else time.process_time
    started = clock()
    with autocast(*autocast_of):
        outputs = network(image)
    torch.stack([logits.float().square().mean() for logits in outputs]).sum().backward()
    if image.is_cuda:
        torch.cuda.synchronize()
    return clock() - started
