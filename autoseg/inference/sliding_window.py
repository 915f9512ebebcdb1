"""Running a network over a volume larger than its patch, window by window, blended by Gaussian weights.

Windows run along one axis of the volume, and what they have finished is handed on plane by plane: only the planes that
later windows still touch are held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from autoseg.inference.arrays import Array, kind_of, on_host, repeated
from autoseg.inference.open_planes import OpenPlanes
from autoseg.inference.places import places_on
from autoseg.inference.running import Network, WindowRunner
from autoseg.inference.windows import Box3, Ints, WindowPath, Windows, stream_order
from autoseg.memory import is_out_of_memory
from autoseg.preprocessing.restore import IN_ORDER, Logits, Order, Restorer

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EmptyWindows:
    """Windows that are not run.

    are: whether a box (z, y, x) of the image holds nothing; it may reach beyond the image where that is padded. logits:
    (K,) what such a window says of every voxel.
    """

    are: Callable[[Box3], bool]
    logits: tuple[float, ...]


def stream(
    image: np.ndarray,
    network: Network,
    windows: Windows,
    restorer: Restorer,
    *,
    order: Order = IN_ORDER,
    in_file: bool = False,
    empty: EmptyWindows | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Predict a whole volume and hand its logits on, plane by plane along the first axis of the order.

    image: (C, Z, Y, X) float32; axes shorter than the patch are padded with 0 on both sides, one more at the end where
    the number is odd, as in training. network: (B, C, *patch) on `device` to logits (B, K, *patch). restorer: takes the
    logits (K, *order of z, y, x), float32. in_file: sum them in a temporary file; from a GPU only where it has no room.
    empty: windows to leave out; a voxel that no such window covers gets the same logits as without. progress: called
    with the windows done and all. What happens where a GPU's memory is too little: see WindowRunner and PlacesOnGpu.
    """
    padded, inside = _pad(image, windows.box)
    path = WindowPath.over(image.shape[1:], windows, order).on(device)
    sums = _Sums(path, tuple(inside[axis] for axis in order), restorer, device, in_file)
    runner = WindowRunner(network, device, is_2d=windows.is_2d, make_room=sums.leave_gpu)
    done = 0
    for batch, skipped in path.batches(lambda where: empty is not None and empty.are(_shifted(where, inside))):
        if batch:
            cut = [padded[(slice(None), *path.where(at))] for at in _filled(batch, path, windows)]
            for first, logits in runner.run(cut):
                part = batch[first : first + len(logits)]
                sums.add(part, logits[: len(part)])
                del logits  # before the next ones are there
        if skipped and empty is not None:
            sums.add(skipped, repeated(empty.logits, len(skipped), windows.box, sums.device))
        done += len(batch) + len(skipped)
        sums.finish(done)
        if progress is not None:
            progress(done, len(path))


def slide(
    image: np.ndarray,
    network: Network,
    windows: Windows,
    *,
    empty: EmptyWindows | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> np.ndarray:
    """Predict a whole volume at once, see stream(). Returns (K, Z, Y, X) float32."""
    order = stream_order(image.shape[1:], windows)
    whole = WholeLogits(image.shape[1:], order)
    stream(image, network, windows, whole, order=order, empty=empty, device=device, progress=progress)
    return whole.logits


@final
class WholeLogits:
    """A restorer that keeps everything. logits: (K, z, y, x) float32, complete once every plane was there.

    shape: (z, y, x) of the image. order: in which its axes arrive.
    """

    most_planes = 1

    def __init__(self, shape: Sequence[int], order: Order) -> None:
        self._shape = tuple(shape)
        self._order = order
        self._done = 0
        self.logits = np.empty((0, *shape), dtype=np.float32)

    def advance(self, logits: Logits, finished: int) -> int:
        """See Restorer."""
        if not self._done:
            self.logits = np.empty((len(logits), *self._shape), dtype=np.float32)
        part = (slice(self._done, finished), *(slice(0, self._shape[axis]) for axis in self._order[1:]))
        for index, channel in enumerate(self.logits):
            channel.transpose(self._order)[part] = logits[index][part]
        self._done = finished
        return finished


@final
class _Sums:
    """The sums of the windows that were run, and whom they are handed on to. inside: the image along the path.

    device: where windows are best when they are added.
    """

    def __init__(self, path: WindowPath, inside: Box3, restorer: Restorer, device: str, in_file: bool) -> None:
        self._path = path
        self._inside = inside
        self._restorer = restorer
        self.device = device
        self._in_file = in_file
        self._planes: OpenPlanes | None = None
        self._only: np.ndarray | None = None

    def add(self, batch: list[Ints], logits: Array) -> None:
        """Add windows (B, K, z, y, x)."""
        for at, window in zip(batch, logits, strict=True):
            window = kind_of(window).permute_dims(window, (0, *[1 + axis for axis in self._path.order]))
            if len(self._path) == 1:
                self._only = np.ascontiguousarray(on_host(window[(slice(None), *self._inside)]), dtype=np.float32)
            else:
                self._add(window, at)

    def leave_gpu(self) -> bool:
        """Move the sums to the host, and the weights with them; False where they are there already."""
        moved, self.device = self.device != "cpu", "cpu"
        self._path = self._path.on("cpu")
        return moved if self._planes is None else self._planes.leave_gpu()

    def finish(self, done: int) -> None:
        """Hand on what the windows after the first `done` do not touch."""
        first, inside = self._path.first_plane(done), self._inside[0]
        finished = min(max(first, inside.start), inside.stop) - inside.start
        if self._only is not None:
            self._restorer.advance(self._only, finished)
        elif self._planes is not None and first > self._planes.finished:
            needed = self._restorer.advance(self._planes, finished)
            self._planes.finished = first
            self._planes.release(min(first, needed + inside.start))

    def _add(self, window: Array, at: Ints) -> None:
        """Where a GPU has no room for what adding takes, which is taken before anything is added, on the host."""
        planes, place = self._opened(len(window)), self._path.place(at)
        try:
            planes.add(window, place, self._path.weights(at))
        except RuntimeError as error:
            if not is_out_of_memory(error) or not self.leave_gpu():
                raise
            planes.add(on_host(window), place, self._path.weights(at))

    def _opened(self, classes: int) -> OpenPlanes:
        if self._planes is None:
            y, x = (axis.length for axis in self._path.axes[1:])
            depth = self._path.depth(self._restorer.most_planes)
            places = places_on(self.device, (classes, depth, y, x), in_file=self._in_file)
            self._planes = OpenPlanes(places, depth, self._inside)
        return self._planes


def _shifted(where: Box3, inside: Box3) -> Box3:
    """A box on the padded grid, counted from the image's first voxel."""
    return tuple(slice(box.start - part.start, box.stop - part.start) for box, part in zip(where, inside, strict=True))


def _pad(image: np.ndarray, box: Ints) -> tuple[np.ndarray, Box3]:
    """The image at least as large as the box, copied where it must grow, and where the image lies in it."""
    missing = [max(p - n, 0) for n, p in zip(image.shape[1:], box, strict=True)]
    inside = tuple(slice(m // 2, m // 2 + n) for m, n in zip(missing, image.shape[1:], strict=True))
    if not any(missing):
        return image, inside
    shape = (image.shape[0], *(n + m for n, m in zip(image.shape[1:], missing, strict=True)))
    padded = np.zeros(shape, dtype=np.float32)
    padded[(slice(None), *inside)] = image
    return padded, inside


def _filled(batch: list[Ints], path: WindowPath, windows: Windows) -> list[Ints]:
    """A batch of volumes made whole by repeating its last window.

    Libraries compute a sample alone by other routines than in a batch, with other last bits: what a window gives must
    not depend on how many others are left out.
    """
    missing = 0 if windows.is_2d or len(path) == 1 else windows.batch_size - len(batch)
    return batch + batch[-1:] * missing
