"""Scoring a folder of predictions against a folder of references."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.errors import FileError, GeometryError, OptionError
from autoseg.evaluation.case_picture import CasePicture, find_image
from autoseg.evaluation.description import Description, describe_values, find_description, read_description
from autoseg.evaluation.matching import Matching, Pair, listed, match_files
from autoseg.evaluation.overlap import value_boxes
from autoseg.evaluation.report import Report
from autoseg.evaluation.scores import DEFAULT_TOLERANCE_MM, ClassScores, evaluate_case
from autoseg.evaluation.summary import summarize
from autoseg.parallel import in_threads

if TYPE_CHECKING:
    from autoseg.geometry import Geometry
    from autoseg.io import Volume

LOGGER = logging.getLogger(__name__)
DRAWING = threading.Lock()
"""Held while a picture is drawn: matplotlib is not made for threads."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate.

    dataset_json: names the classes; None looks for one beside the files. surface: measure surfaces too. tolerance_mm:
    of the surface Dice. workers: cases at once. allow_missing: score the cases that were predicted, instead of refusing
    when some were not. images: a folder, or one file, of images of which each case gets a picture in picture_folder;
    None for no pictures. window: the intensities of black and white in them; None for what dataset.json says.
    """

    dataset_json: Path | None = None
    surface: bool = True
    tolerance_mm: float = DEFAULT_TOLERANCE_MM
    workers: int = 1
    allow_missing: bool = False
    images: Path | None = None
    picture_folder: Path = Path("pictures")
    window: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.tolerance_mm < 0:
            raise OptionError(f"The tolerance must not be negative, and is {self.tolerance_mm} mm.")
        if self.workers < 1:
            raise OptionError(f"At least one worker is needed, not {self.workers}.")
        if self.window is not None and self.images is None:
            raise OptionError("--window is of pictures, and none are drawn.", "Give --pictures IMAGES, too.")
        if self.window is not None and not (len(self.window) == 2 and self.window[0] < self.window[1]):
            raise OptionError(f"--window must be two numbers, the smaller first, not {self.window}.")


def evaluate_folders(
    predictions: Path,
    references: Path,
    options: EvaluationOptions = EvaluationOptions(),
    *,
    progress: Callable[[Iterable, int], Iterable] = lambda steps, total: steps,
) -> Report:
    """Score every case of two folders, or of two files.

    progress: wraps the cases as they are finished, given their number. Raises FileError where predictions or images are
    missing or labels hold values that no class has, GeometryError where two files do not lie on one grid.
    """
    matching = match_files(predictions, references)
    _check_complete(matching, predictions, allow_missing=options.allow_missing)
    images = {} if options.images is None else _images(options.images, matching.pairs)
    description = _describe(matching.pairs, predictions, references, options)

    def score(pair: Pair) -> dict[str, ClassScores]:
        return evaluate_pair(pair, description, options, image=images.get(pair.case))

    results = progress(in_threads(score, matching.pairs, options.workers), len(matching.pairs))
    summary = summarize(
        {pair.case: scores for pair, scores in zip(matching.pairs, results, strict=True)},
        names=description.labels.names,
        tolerance_mm=options.tolerance_mm if options.surface else None,
    )
    source = str(description.source) if description.source else None
    return Report(str(predictions), str(references), source, summary, matching.missing, matching.extra)


def evaluate_pair(
    pair: Pair, description: Description, options: EvaluationOptions, *, image: Path | None = None
) -> dict[str, ClassScores]:
    """Score one case from its two files. image: of which a picture is drawn."""
    from autoseg.io import read_image, read_labels

    prediction, reference = read_labels(pair.prediction), read_labels(pair.reference)
    _check_grids(pair, prediction, reference)
    for path, volume in ((pair.prediction, prediction), (pair.reference, reference)):
        _check_values(path, volume, description)
    scores = evaluate_case(
        prediction.array,
        reference.array,
        description.labels,
        reference.geometry,
        not_contoured=description.not_contoured.get(pair.case, ()),
        surface=options.surface,
        tolerance_mm=options.tolerance_mm,
    )
    if image is not None:
        grey = read_image([image], compact=True).array[0]
        window = options.window or description.window
        picture = CasePicture(pair.case, grey, prediction, reference, description.labels, scores, window)
        with DRAWING:
            picture.draw(options.picture_folder / f"{pair.case}.png")
    return scores


def _describe(pairs: Sequence[Pair], predictions: Path, references: Path, options: EvaluationOptions) -> Description:
    if options.dataset_json is not None:
        return read_description(options.dataset_json)
    found = find_description(predictions, references)
    if found is not None:
        return found
    paths = [path for pair in pairs for path in (pair.prediction, pair.reference)]
    description = describe_values(v for values in in_threads(_values_of, paths, options.workers) for v in values)
    if not description.labels.classes:
        raise FileError(references, "no file holds any label, and no dataset.json names one.", "Give --dataset-json.")
    return description


def _images(images: Path, pairs: Sequence[Pair]) -> dict[str, Path]:
    """The image of every case; FileError where one is missing, GeometryError where one is of another grid."""
    from autoseg.io import read_geometry

    found = {pair.case: find_image(images, pair.case) for pair in pairs}
    for pair in pairs:
        _check_same_grid(
            found[pair.case], read_geometry(found[pair.case]), pair.reference, read_geometry(pair.reference)
        )
    return found


def _values_of(path: Path) -> list[int]:
    from autoseg.io import read_labels

    return list(value_boxes(read_labels(path).array))


def _check_complete(matching: Matching, predictions: Path, *, allow_missing: bool) -> None:
    if matching.extra:
        LOGGER.warning("warning: %s: no reference for %s.", predictions, listed(matching.extra))
    if not matching.missing:
        return
    total = len(matching.missing) + len(matching.pairs)
    fact = f"lacks {len(matching.missing)} of {total} cases: {listed(matching.missing)}."
    if not allow_missing:
        raise FileError(predictions, fact, "Predict them, or give --allow-missing to score the others alone.")
    LOGGER.warning("warning: %s %s", predictions, fact)


def _check_grids(pair: Pair, prediction: Volume, reference: Volume) -> None:
    _check_same_grid(pair.prediction, prediction.geometry, pair.reference, reference.geometry)


def _check_same_grid(path: Path, geometry: Geometry, reference: Path, wanted: Geometry) -> None:
    remedy = "Predictions and images must lie on their reference's grid."
    if geometry.shape != wanted.shape:
        raise GeometryError(f"{path} has {geometry.shape} voxels (z, y, x), {reference} has {wanted.shape}.", remedy)
    if not geometry.matches(wanted):
        apart = geometry.corner_distance_mm(wanted)
        raise GeometryError(f"{path} and {reference} lie {apart:.3g} mm apart at a corner.", remedy)


def _check_values(path: Path, volume: Volume, description: Description) -> None:
    known = set(description.labels.values)
    unknown = [value for value in value_boxes(volume.array) if value not in known]
    if volume.array.min() < 0:
        unknown.insert(0, int(volume.array.min()))
    if unknown:
        raise FileError(
            path,
            f"holds {listed([str(value) for value in unknown])}, which {description.source} does not declare.",
            "Name the dataset.json of these labels with --dataset-json.",
        )
