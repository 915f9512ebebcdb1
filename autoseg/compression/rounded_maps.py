"""The maps between convolutions on 256 levels: with rounded weights, what int8 will compute, while it can still learn.

q = clamp(round(x / s) + z, 0, 255) and x_q = s (q - z), one scale s and one integer z per convolution, chosen so that
zero is a level; the gradient passes straight through within the levels and stops beyond them (Jacob et al. 2018,
arXiv:1712.05877).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.compression.quantization import Rounded
from autoseg.errors import OptionError

MAP_LEVELS = 256
WEIGHT_LEVELS = 255
"""-127 to 127 times a step, as OpenVINO has them: zero is one of them."""
LEAST_SPAN = 1e-6
"""Between the lowest and the highest value, for maps that are constant."""


class RoundedMaps(nn.Module):
    """Rounds maps to the nearest of 256 levels between two values, zero among them.

    lowest, highest: what maps usually reach. Scale and zero point are buffers, so that checkpoints hold them.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, lowest: float, highest: float, device: Any = "cpu") -> None:
        super().__init__()
        lowest, highest = min(lowest, 0.0), max(highest, 0.0)
        scale = max(highest - lowest, LEAST_SPAN) / (MAP_LEVELS - 1)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32, device=device))
        self.register_buffer("zero_point", torch.tensor(round(-lowest / scale), dtype=torch.int32, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """x: of any shape; the result is float32."""
        return torch.fake_quantize_per_tensor_affine(x.float(), self.scale, self.zero_point, 0, MAP_LEVELS - 1)


@torch.no_grad()
def round_maps(network: nn.Module, patches: Iterable[Tensor]) -> None:
    """Make every convolution of a quantised network round the maps that enter it, in place; bake() takes that away.

    patches: (1, C, ...), each on the network's device. The levels of a convolution reach from the mean over patches of
    its lowest value to that of its highest: what a few voxels exceed is cut off. Convolutions that predict nothing in
    the network's mode are left as they are: in evaluation the heads that only training listens to. OptionError where
    there is no patch, or the network was not quantised.
    """
    rounded = {name: module for name, module in network.named_modules() if isinstance(module, Rounded)}
    if not rounded:
        raise OptionError("Only maps of a quantised network are rounded.", "Quantise its weights first.")
    reached: dict[str, list[Tensor]] = {name: [] for name in rounded}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            reached[name].append(torch.stack(torch.aminmax(inputs[0].float())))

        return hook

    hooks = [module.register_forward_pre_hook(note(name)) for name, module in rounded.items()]
    try:
        for patch in patches:
            network(patch)
    finally:
        for one in hooks:
            one.remove()
    if not any(reached.values()):
        raise OptionError("The levels of maps are found on patches, and there is none.", "Give training cases.")
    for name, ends in reached.items():
        if ends:
            lowest, highest = torch.stack(ends).mean(dim=0).tolist()
            rounded[name].maps = RoundedMaps(lowest, highest, ends[0].device)
