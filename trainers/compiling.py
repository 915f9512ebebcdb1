"""Whether a training is long enough for its network to be compiled."""

from __future__ import annotations

from autoseg.networks.cost import network_cost
from autoseg.plans import StagePlan
from autoseg.runtime.compiled import compiling_pays, seconds_on_gpu
from autoseg.runtime.gpu import is_gpu
from autoseg.runtime.speed import FORWARD_PASSES_PER_STEP
from autoseg.training.options import TrainingSettings


def is_worth_compiling(settings: TrainingSettings, stage: StagePlan) -> bool:
    """Whether torch.compile pays: on a GPU, unless the training is short.

    A network that organs share would be compiled for every organ: each has layers and a patch of its own.
    """
    if not is_gpu(settings.device) or stage.shared_as is not None:
        return False
    if settings.epochs is None:
        return compiling_pays(settings.budget_seconds or 0.0)
    work = network_cost(stage.network, stage.patch_size, stage.batch_size).multiply_adds
    steps = settings.epochs * settings.iterations_per_epoch
    return compiling_pays(seconds_on_gpu(FORWARD_PASSES_PER_STEP * steps * work))
