"""The uncompressed model teaches: its answers on every patch, labelled or not, go into the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autoseg.compression.options import CompressionOptions
from autoseg.data.source import Batch, PatchSource
from autoseg.losses.distillation import AttentionTap, Distillation, TeachingWeights, taught
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.storage import load_whole_network
from autoseg.training.loop import Computation
from autoseg.training.options import TrainingSettings
from trainers.fitting import FittingTask, batches_of, computation_of, memory_format
from trainers.unlabelled import unlabelled_patches


class Teacher:
    """Teaches one network; see fitting.Teaching.

    Unlabelled patches take turns with labelled ones, iteration by iteration.
    """

    def __init__(
        self, network_file: Path, task: FittingTask, settings: TrainingSettings, options: CompressionOptions
    ) -> None:
        self.task, self.settings, self.options = task, settings, options
        self.computation: Computation = computation_of(settings, task.stage)
        self.network = load_whole_network(network_file, device=settings.device).train()
        self.network.to(memory_format=memory_format(task.stage))  # type: ignore[call-overload]
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self._tap = AttentionTap(with_encoder(self.network)) if options.distil_features else None
        self._student_tap: AttentionTap | None = None

    def loss(self, loss: nn.Module, student: nn.Module) -> nn.Module:
        """The usual loss and the teacher's."""
        if self._tap is not None:
            self._student_tap = AttentionTap(with_encoder(student))
        weights = TeachingWeights(self.options.distil, self.options.temperature, self.options.distil_features)
        return Distillation(loss, self.task.job.dataset.labels, weights, self._attention)

    def _attention(self) -> Sequence[Tensor]:
        assert self._student_tap is not None
        return self._student_tap.taken()

    def batches(self, batches: Callable[[int], Iterator[Batch]]) -> Callable[[int], Iterator[Any]]:
        """The labelled batches, and where there are unlabelled volumes every second time one of theirs."""
        unlabelled = self._unlabelled()

        def both(start: int) -> Iterator[Any]:
            if unlabelled is None:
                yield from (self._ask(batch, labelled=True) for batch in batches(start))
                return
            workers, device = self.task.job.options.workers, self.settings.device
            sources = batches((start + 1) // 2), batches_of(unlabelled, workers, device, start // 2)
            number = start
            while True:
                yield self._ask(next(sources[number % 2]), labelled=number % 2 == 0)
                number += 1

        return both

    def end(self) -> None:
        """Take the tap off the student."""
        if self._student_tap is not None:
            self._student_tap.remove()

    def _ask(self, batch: Batch, *, labelled: bool) -> Any:
        image = self.computation.move(batch.image)
        with self.computation.autocast():
            answer = taught(self.network, image, batch.target, tap=self._tap, labelled=labelled)
        return replace(batch, image=image, target=answer)  # type: ignore[arg-type]

    def _unlabelled(self) -> PatchSource | None:
        folder = self.options.unlabelled
        return None if folder is None else unlabelled_patches(folder, self.task, self.settings)


def with_encoder(network: nn.Module) -> nn.Module:
    """The network itself, or what organs share of it."""
    return network.trunk if isinstance(network, SharedNetwork) else network


def teacher_of(
    network_file: Path, task: FittingTask, settings: TrainingSettings, options: CompressionOptions
) -> Teacher | None:
    """The teacher of a task; None where the options want none."""
    return Teacher(network_file, task, settings, options) if options.teaches else None
