"""A network as torch.compile makes it, and the network itself where that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autoseg.memory import is_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor, nn

LOG = logging.getLogger(__name__)

# Whether compiling pays on a GPU is decided before anything runs. None of these figures was measured by us.
COMPILE_SECONDS = 60.0  # of the first call
SHARE_SAVED = 0.2  # of the time without
MULTIPLY_ADDS_PER_SECOND = 2e13  # of a recent GPU in half precision


def compiling_pays(seconds: float) -> bool:
    """Whether so many seconds of computing on a GPU save more than compiling costs."""
    return SHARE_SAVED * seconds > COMPILE_SECONDS


def seconds_on_gpu(multiply_adds: float) -> float:
    """About how long a GPU takes for so many multiply-adds."""
    return multiply_adds / MULTIPLY_ADDS_PER_SECOND


class CompiledNetwork:
    """Called as the network, whose weights it shares: changes of either are changes of both.

    The first call compiles. Where gradients are wanted it also takes those of the logits' means and drops them, so
    that a backward pass that cannot be compiled is met here. Where compiling fails, a warning tells why, and this and
    all later calls go to the network itself; where memory is too little the error is raised and nothing is given up.
    compiler: torch.compile, or what stands in its place.
    """

    def __init__(self, network: nn.Module, compiler: Callable[[nn.Module], Any] | None = None) -> None:
        import torch

        self._network = network
        self._compiled: Any = (compiler or torch.compile)(network)
        self._is_tried = False

    def __call__(self, image: Tensor) -> Any:
        """image: (B, C, ...); what the network gives."""
        if self._compiled is not None:
            try:
                return self._compute(image)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                self._give_up(error)
        return self._network(image)

    def _compute(self, image: Tensor) -> Any:
        import torch

        if not self._is_tried and torch.is_grad_enabled():
            outputs = self._compiled(image)
            levels = outputs if isinstance(outputs, list | tuple) else [outputs]
            parameters = [parameter for parameter in self._network.parameters() if parameter.requires_grad]
            torch.autograd.grad(sum(level.float().mean() for level in levels), parameters, allow_unused=True)
        self._is_tried = True
        return self._compiled(image)

    def _give_up(self, error: Exception) -> None:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        LOG.warning("torch.compile failed (%s); the network is computed without.", reason)
        self._compiled = None
