"""A case as a picture: the outlines of its classes in the reference and in the prediction, in three planes.

Planes are shown as radiologists do: the patient's right on the left, the front of an axial plane on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.dataset import FILE_ENDINGS
from autoseg.errors import FileError
from autoseg.evaluation.scores import ClassScores
from autoseg.files import atomic_path
from autoseg.geometry import Geometry
from autoseg.labels import Labels

if TYPE_CHECKING:
    from autoseg.io import Volume

MOST_CLASSES = 8
"""Of a picture, those of the lowest Dice."""
MARGIN_MM = 20.0
"""Around a class."""
GREY_PERCENTILES = (1, 99)
"""Of what is shown, between black and white, where there is no window."""
REFERENCE, PREDICTION = "#39d353", "#ff5a5f"
PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class CasePicture:
    """What a picture shows.

    image: (Z, Y, X), the channel to be seen. scores: by class, as they were evaluated. window: the intensities of black
    and white; None for percentiles of what is shown.
    """

    case: str
    image: np.ndarray
    prediction: Volume
    reference: Volume
    labels: Labels
    scores: Mapping[str, ClassScores]
    window: tuple[float, ...] | None = None

    def draw(self, path: Path) -> None:
        """Write a PNG, whole or not at all; where no class is there, none, and one of before goes."""
        shown = worst_classes(self.scores)
        if not shown:
            path.unlink(missing_ok=True)
            return
        geometry = self.reference.geometry
        figure = _figure(len(shown))
        for row, name in zip(figure.subplots(len(shown), len(PLANES), squeeze=False), shown, strict=True):
            masks = [self.labels.mask(volume.array, name) for volume in (self.reference, self.prediction)]
            if self.labels.ignore is not None:
                masks[1] &= self.reference.array != self.labels.ignore
            grey, reference, prediction = (upright(array, geometry) for array in (self.image, *masks))
            _draw_class(row, grey, reference, prediction, upright_spacing(geometry), self.window)
            row[0].set_ylabel(f"{name}\nDice {self.scores[name].dice or 0:.3f}", fontsize=9)
        for axes, plane in zip(figure.axes, PLANES, strict=False):
            axes.set_title(plane, fontsize=9)
        there = sum(one.dice is not None for one in self.scores.values())
        some = f", {len(shown)} of {there} classes, the lowest Dice first" if there > len(shown) else ""
        figure.suptitle(f"{self.case}{some}", fontsize=10)
        figure.legend(handles=_keys(), loc="outside lower center", ncols=2, fontsize=9)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=100, format="png", metadata={"Software": None})


def find_image(images: Path, case: str) -> Path:
    """The file of a case's first channel in a folder, CASE_0000 or CASE; a file is itself. FileError for none."""
    if images.is_file():
        return images
    if not images.is_dir():
        raise FileError(images, "does not exist.")
    for name in (f"{case}_0000", case):
        for ending in FILE_ENDINGS:
            if (images / f"{name}{ending}").is_file():
                return images / f"{name}{ending}"
    raise FileError(images, f"has no image of {case}.", f"It would be called {case}_0000{FILE_ENDINGS[0]}.")


def worst_classes(scores: Mapping[str, ClassScores]) -> list[str]:
    """The classes that are in the reference or in the prediction, those of the lowest Dice first, MOST_CLASSES."""
    there = [name for name, one in scores.items() if one.dice is not None]
    return sorted(there, key=lambda name: scores[name].dice or 0.0)[:MOST_CLASSES]


def upright(array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """(Z, Y, X) with axes that run most nearly to the patient's head, back and left; a view."""
    order, signs = _patient_axes(geometry)
    turned = array.transpose(order)
    return turned[tuple(slice(None, None, sign) for sign in signs)]


def upright_spacing(geometry: Geometry) -> tuple[float, float, float]:
    """Of the voxels of upright(), in mm."""
    first, second, third = (geometry.spacing_mm[axis] for axis in _patient_axes(geometry)[0])
    return first, second, third


def _patient_axes(geometry: Geometry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The array axes that run along the body, from front to back and from side to side, and +-1: which way each does.

    The world's axes point to the right, to the front and to the head.
    """
    from itertools import permutations

    towards = np.asarray(geometry.direction) @ np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]])
    order = max(permutations(range(3)), key=lambda axes: sum(abs(towards[axis, n]) for n, axis in enumerate(axes)))
    return order, tuple(1 if towards[axis, n] > 0 else -1 for n, axis in enumerate(order))


def _figure(rows: int) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.7 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_class(
    row: Sequence[Any],
    image: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing_mm: tuple[float, float, float],
    window: tuple[float, ...] | None,
) -> None:
    """Three planes through a class, where most voxels of either outline lie. All arrays: upright."""
    union = reference | prediction
    middle = [int(union.sum(axis=tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3)]
    box = tuple(_around(union, axis, spacing_mm[axis]) for axis in range(3))
    low, high = window or _usual_window(image[box])
    for normal, axes in enumerate(row):
        across = [axis for axis in range(3) if axis != normal]
        where = tuple(middle[axis] if axis == normal else box[axis] for axis in range(3))
        down, right = (spacing_mm[axis] for axis in across)
        axes.imshow(image[where], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=down / right)
        for mask, color in ((reference, REFERENCE), (prediction, PREDICTION)):
            plane = mask[where]
            if plane.any() and not plane.all() and min(plane.shape) > 1:
                axes.contour(plane, levels=[0.5], colors=[color], linewidths=1.0)
        if normal:
            axes.invert_yaxis()  # the head on top
        axes.set(xticks=[], yticks=[])


def _usual_window(seen: np.ndarray) -> tuple[float, float]:
    known = seen[np.isfinite(seen)]
    low, high = np.percentile(known, GREY_PERCENTILES) if known.size else (0.0, 1.0)
    return float(low), float(high)


def _around(mask: np.ndarray, axis: int, spacing_mm: float) -> slice:
    """The extent of a mask along an axis, with the margin."""
    there = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
    margin = int(np.ceil(MARGIN_MM / spacing_mm))
    return slice(max(0, int(there[0]) - margin), int(there[-1]) + 1 + margin)


def _keys() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=color, label=label)
        for color, label in ((REFERENCE, "reference"), (PREDICTION, "prediction"))
    ]
