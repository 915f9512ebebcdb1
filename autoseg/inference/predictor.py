"""One stage on one prepared image: folds and flips averaged in every window."""

from __future__ import annotations

import contextlib
import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.data.mirroring import left_right_exchange
from autoseg.errors import OptionError
from autoseg.inference.arrays import Array, kind_of
from autoseg.inference.backends import Engine, EngineOptions, find_backend
from autoseg.inference.backends.choice import Choice, Task, choose
from autoseg.inference.backends.network_file import NetworkFile
from autoseg.inference.backends.probe import Calibrated
from autoseg.inference.batches import usual_batch_size
from autoseg.inference.options import PredictionOptions
from autoseg.inference.sliding_window import EmptyWindows, Progress, WholeLogits, stream
from autoseg.inference.windows import Windows, stream_order, window_starts
from autoseg.labels import Labels
from autoseg.networks.closed_form import multiply_adds
from autoseg.plans import Ints, Plans, StagePlan
from autoseg.preprocessing.restore import Order, Restorer
from autoseg.runtime import choose_device, choose_precision, current_threads
from autoseg.runtime.compiled import compiling_pays, seconds_on_gpu
from autoseg.runtime.gpu import is_gpu

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Flipping:
    """The flips over which a prediction averages.

    flips: as tuples of plan axes, the plain one () first. left_right_axis: the axis whose flip exchanges classes;
    None for none. partners: the number of the class that takes each class's place then.
    """

    flips: tuple[Ints, ...]
    left_right_axis: int | None
    partners: Ints

    @classmethod
    def of(cls, plans: Plans, labels: Labels, flips: str | int | Ints, *, is_2d: bool) -> Flipping:
        """As in training: left and right are exchanged where labels can express it, else that axis is left out."""
        exchange = left_right_exchange(labels, plans.left_right_pairs)
        left_right_axis = plans.left_right_axis if plans.left_right_pairs else None
        partners = range(len(labels.names)) if exchange is None else exchange.classes.tolist()
        forbidden = left_right_axis if exchange is None else None
        axes = tuple(axis for axis in plans.mirror_axes if axis != forbidden)
        return cls(flip_axes(axes, flips, is_2d=is_2d), left_right_axis, tuple(partners))


class StagePredictor:
    """The networks of one stage, ready to predict prepared images.

    networks: one per fold, of one spec; each is used up by its engine before the next one is taken, so that an iterator
    holds one at a time. volumes: how many are to be predicted, which tells whether measuring engines pays. choice: the
    engine that an earlier run took; None to choose now. int8: the same networks in int8, where all of them have that.
    has_run: whether the engines have computed a window, and hold the memory that they keep.
    """

    def __init__(
        self,
        networks: Iterable[nn.Module | NetworkFile],
        plans: Plans,
        stage: StagePlan,
        labels: Labels,
        options: PredictionOptions | None = None,
        *,
        volumes: int = 1,
        choice: Choice | None = None,
        int8: Sequence[Calibrated] = (),
    ) -> None:
        options = options or PredictionOptions()
        self.stage = stage
        self.device = choose_device(options.device)
        wanted = choice or options
        check_engine(wanted.backend, wanted.precision, self.device)
        batch_size = options.batch_size or usual_batch_size(stage, self.device)
        self.windows = Windows(stage.patch_size, options.overlap, batch_size)
        self._class_values = list(labels.classes.values()) if stage.previous_stage is not None else []
        self._first_class = 0 if labels.has_regions else 1
        wanted_flips = stage.flips if options.flips is None else options.flips
        self._flipping = Flipping.of(plans, labels, wanted_flips, is_2d=stage.is_2d)
        self.engines: list[Engine] = []
        self.has_run = False
        windows = volumes * len(self.flips) * windows_of(plans, stage, options.overlap)
        for number, network in enumerate(networks):
            if choice is None:
                choice = self._choose(network, options, windows, int8[0] if int8 else None)
            engine_options = EngineOptions(
                stage.patch_size,
                choice.precision,
                current_threads(),
                device=self.device,
                compiled=is_gpu(self.device) and is_worth_compiling(stage, windows),
                calibrated=Path(int8[number].file) if int8 else None,
                memory_bytes=options.memory_bytes,
            )
            self.engines.append(find_backend(choice.backend).compile(network, engine_options))
            del network
        assert choice is not None, "a stage has a network"
        self.choice = choice

    def _choose(self, network: Any, options: PredictionOptions, windows: float, int8: Calibrated | None) -> Choice:
        patch_size = self.stage.patch_size
        if self.device != "cpu":
            precision = choose_precision(
                network.spec, patch_size, self.stage.batch_size, device=self.device, wanted=options.precision
            )
            return Choice("torch", precision, "the engine of a GPU")
        batch_size, threads = self.windows.batch_size, current_threads()
        task = Task(network.spec, patch_size, batch_size, threads, windows, int8, options.memory_bytes)
        return choose(task, backend=options.backend, precision=options.precision)

    @property
    def flips(self) -> tuple[Ints, ...]:
        """The flips to average over, as tuples of plan axes."""
        return self._flipping.flips

    def order(self, shape: Sequence[int]) -> Order:
        """The order of axes in which logits arrive, for an image (z, y, x)."""
        return stream_order(shape, self.windows)

    def logits(
        self, image: np.ndarray, previous_labels: np.ndarray | None = None, *, progress: Progress | None = None
    ) -> np.ndarray:
        """All logits (K, z, y, x) float32 of a prepared image at once, see stream()."""
        whole = WholeLogits(image.shape[1:], self.order(image.shape[1:]))
        self.stream(image, whole, previous_labels, progress=progress)
        return whole.logits

    def stream(
        self,
        image: np.ndarray,
        restorer: Restorer,
        previous_labels: np.ndarray | None = None,
        *,
        in_file: bool = False,
        empty: EmptyWindows | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Predict a prepared image; the restorer takes the logits, averaged over folds and flips, in order().

        image: (C, z, y, x) float32 in plan order. previous_labels: (z, y, x) label values of the earlier stage on the
        same grid, exactly where the stage has one. in_file, empty: see sliding_window.stream.
        """
        if (previous_labels is None) != (self.stage.previous_stage is None):
            wants = f"the labels of stage {self.stage.previous_stage!r}" if previous_labels is None else "no labels"
            raise OptionError(f"The stage {self.stage.name!r} takes {wants}.")
        if previous_labels is not None:
            image = np.concatenate([image, previous_labels[None]], dtype=np.float32)
        order = self.order(image.shape[1:])
        with self._mode():
            stream(
                image,
                self._window,
                self.windows,
                restorer,
                order=order,
                in_file=in_file,
                empty=empty,
                device=self.device,
                progress=progress,
            )

    def _mode(self) -> AbstractContextManager[Any]:
        """Sums of an engine's tensors are tensors without gradients, too."""
        if self.device == "cpu":
            return contextlib.nullcontext()
        import torch

        return torch.inference_mode()

    def _window(self, batch: Array) -> Array:
        """(B, C, *patch), in a cascade with the previous labels as last channel, to (B, K, *patch) float32."""
        self.has_run = True
        if len(self.flips) == len(self.engines) == 1:
            return self.engines[0](self._with_class_channels(batch, False))
        total: Array | None = None
        flip = kind_of(batch).flip
        for axes in self.flips:
            dims = tuple(axis + batch.ndim - 3 for axis in axes)
            swap = self._flipping.left_right_axis in axes
            flipped = flip(self._with_class_channels(batch, swap), axis=dims)
            logits = flip(reduce(operator.add, (engine(flipped) for engine in self.engines)), axis=dims)
            if swap:
                logits = logits[:, _order(self._flipping.partners, self._first_class)]
            total = logits if total is None else total + logits
        assert total is not None
        return total / (len(self.flips) * len(self.engines))

    def _with_class_channels(self, batch: Array, swap: bool) -> Array:
        """Replace the channel of previous labels by one channel per class, left and right exchanged on request."""
        if not self._class_values:
            return batch
        order = self._flipping.partners if swap else range(len(self._class_values))
        previous = batch[:, -1:]
        masks = [_is_any(previous, self._class_values[k]) for k in order]
        kind = kind_of(batch)
        return kind.concat([batch[:, :-1], *(kind.astype(mask, batch.dtype) for mask in masks)], axis=1)


def flip_axes(mirror_axes: Ints, flips: str | int | Ints, *, is_2d: bool) -> tuple[Ints, ...]:
    """The flips to average over, as tuples of plan axes, the plain one () first.

    A number n takes the first n of the flips counted in binary, last axis first, so that 1, 3 and 7 are the complete
    sets of one, two and three axes. A 2D network does not see axis 0: flips along it are left out. Raises OptionError
    for an axis that the plan forbids.
    """
    if isinstance(flips, tuple):
        forbidden = sorted(set(flips) - set(mirror_axes))
        if forbidden:
            raise OptionError(
                f"The plan was trained without flips along axis {forbidden[0]}.", f"Its axes: {mirror_axes}."
            )
    chosen = flips if isinstance(flips, tuple) else () if flips == "none" else mirror_axes
    axes = sorted((axis for axis in set(chosen) if not (is_2d and axis == 0)), reverse=True)
    found = [tuple(a for i, a in enumerate(axes) if number >> i & 1) for number in range(2 ** len(axes))]
    return tuple(found[: flips + 1] if isinstance(flips, int) else found)


def check_engine(backend: str, precision: str, device: str) -> None:
    """Raise OptionError for an engine, asked for or of an earlier run, that a device of this kind does not have."""
    if device == "cpu":
        if precision == "fp16":
            raise OptionError("fp16 is computed on a GPU only.", "Use --precision auto or bf16.")
        return
    if backend not in ("auto", "torch"):
        raise OptionError(f"The backend {backend} computes on the CPU only.", "Use --device cpu or --backend torch.")
    if precision == "int8":
        raise OptionError("Networks in int8 are computed on the CPU.", "Use --device cpu or --precision auto.")


def is_worth_compiling(stage: StagePlan, windows: float) -> bool:
    """Whether torch.compile pays on a GPU for so many windows, over all volumes and flips."""
    return compiling_pays(seconds_on_gpu(windows * multiply_adds(stage.network, stage.patch_size)))


def windows_of(plans: Plans, stage: StagePlan, overlap: float) -> int:
    """How many windows a volume of median shape has; for slices, as many slices as there are in 3D."""
    shape: tuple[float, ...] = stage.median_shape
    if stage.is_2d:
        slices = [other.median_shape[0] for other in plans.stages.values() if not other.is_2d]
        return math.ceil(max(slices, default=1)) * _windows_over(shape, stage.patch_size, overlap)
    return _windows_over(shape, stage.patch_size, overlap)


def _windows_over(shape: tuple[float, ...], patch_size: Ints, overlap: float) -> int:
    axes = zip(shape, patch_size, strict=True)
    return math.prod(len(window_starts(math.ceil(length), patch, overlap)) for length, patch in axes)


def _order(partners: Ints, first: int) -> list[int]:
    return list(itertools.chain(range(first), (first + k for k in partners)))


def _is_any(values: Array, wanted: Ints) -> Array:
    mask: Any = values == wanted[0]
    for value in wanted[1:]:
        mask = mask | (values == value)
    return mask
