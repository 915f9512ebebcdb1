"""The embedded dataset: synthetic CT of heads in air, drawn from shapes, the same for the same seed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from autoseg.geometry import Geometry
    from autoseg.io import Volume
    from dataset_conversion.writer import CaseContent, SourceCase

VERSION = 1
SHAPE = (40, 80, 80)
EXTENT_MM = 120.0
NOISE_HU = 20.0
NOISE_WIDTH_MM = 1.2
BLUR_MM = 0.8


class PhantomConverter:
    """autoseg_convert phantom -d 1."""

    summary = "nothing: synthetic CT of heads with six organs, for trying things out"
    needs_source = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """How many cases, and which."""
        parser.add_argument("--cases", type=int, default=20, metavar="N", help="training cases (20)")
        parser.add_argument("--test-cases", type=int, default=5, metavar="N", help="test cases (5)")
        parser.add_argument("--seed", type=int, default=0, help="another seed draws other patients (0)")

    def dataset_name(self, source: object, options: argparse.Namespace) -> str:
        """Always Phantom."""
        return "Phantom"

    def convert(
        self, source: object, folder: Path, options: argparse.Namespace, progress: Callable[[int, int], None] | None
    ) -> None:
        """Write the dataset."""
        write_phantom_dataset(
            folder,
            cases=options.cases,
            test_cases=options.test_cases,
            seed=options.seed,
            workers=options.workers,
            progress=progress,
        )


def write_phantom_dataset(
    folder: Path,
    *,
    cases: int,
    test_cases: int = 0,
    seed: int = 0,
    shape: tuple[int, int, int] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw patients and write them as a raw dataset; equal arguments give equal files.

    cases, test_cases: how many; test cases have labels. shape: (Z, Y, X) voxels in place of (40, 80, 80), over the same
    field of view. Raises OptionError for no cases or a negative seed.
    """
    from autoseg.errors import OptionError
    from dataset_conversion.anatomy import HEAD
    from dataset_conversion.writer import DatasetFacts, write_dataset

    if cases < 1 or test_cases < 0 or seed < 0:
        raise OptionError(
            f"Cannot draw {cases} training and {test_cases} test cases with the seed {seed}.",
            "Draw at least one training case, with a seed of 0 or more.",
        )
    parts = ["Tr"] * cases + ["Ts"] * test_cases
    sources = [_source_case(part, number, seed, shape or SHAPE) for number, part in enumerate(parts, start=1)]
    organs = [tissue.organ for tissue in HEAD if tissue.organ]
    labels = {organ: value for value, organ in enumerate(organs, start=1)}
    texts = {"name": "Phantom", "description": "Synthetic CT of heads, drawn by autoseg"}
    write_dataset(folder, sources, DatasetFacts(("CT",), labels, texts), workers=workers, progress=progress)


def _source_case(part: str, number: int, seed: int, shape: tuple[int, int, int]) -> SourceCase:
    from dataset_conversion.writer import SourceCase

    settings = {"version": VERSION, "seed": seed, "number": number, "shape": shape}
    return SourceCase(f"phantom_{number:03d}", part, (), partial(_draw_case, seed, number, shape), settings)


def _draw_case(seed: int, number: int, shape: tuple[int, int, int]) -> CaseContent:
    from dataset_conversion.writer import CaseContent

    image, labels = draw(seed, number, shape)
    return CaseContent((image,), labels)


def draw(seed: int, number: int, shape: tuple[int, int, int] = SHAPE) -> tuple[Volume, Volume]:
    """Draw one patient: image (Z, Y, X) float32 in whole HU, and labels (Z, Y, X) int16 in the order of anatomy.HEAD.

    Patients differ in spacing, pose (rotation, shift, scale of the whole head) and place and size of each tissue. The
    array axes run feet to head, front to back, right to left, as in most CT.
    """
    import numpy as np

    from autoseg.io import Volume
    from dataset_conversion.anatomy import AIR_HU, HEAD, varied

    random = np.random.default_rng([seed, number])
    geometry = _draw_geometry(random, shape)
    points = _points_in_head(geometry, random)
    image = np.full(shape, AIR_HU, dtype=np.float32)
    labels = np.zeros(shape, dtype=np.int16)
    organ_count = 0
    for tissue in HEAD:
        inside = np.any([solid.contains(points) for solid in varied(tissue, random).solids], axis=0)
        image[inside] = tissue.intensity_hu
        if tissue.organ:
            organ_count += 1
            labels[inside] = organ_count
    return Volume(_blurred_and_noisy(image, geometry, random), geometry), Volume(labels, geometry)


def _draw_geometry(random: np.random.Generator, shape: tuple[int, int, int]) -> Geometry:
    """A grid centred on the world's origin, 120 mm wide, give or take 3 % per axis; y and x run against the world's."""
    import numpy as np

    from autoseg.geometry import Geometry

    in_plane, slice_step = np.round(EXTENT_MM * random.uniform(0.97, 1.03, 2) / (shape[1], shape[0]), 3).tolist()
    spacing = (slice_step, in_plane, round(in_plane * shape[1] / shape[2], 3))
    half = [(n - 1) * step / 2 for n, step in zip(shape, spacing, strict=True)]
    axes = ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0))
    return Geometry(shape, spacing, (half[2], half[1], -half[0]), axes)


def _points_in_head(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """(3, Z, Y, X) float32 mm: where each voxel lies in the head, by a random similarity transform."""
    import numpy as np
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_euler("xyz", random.uniform(-8, 8, 3), degrees=True)
    scale, shift_mm = random.uniform(0.92, 1.08), random.uniform(-4, 4, 3)
    world = geometry.voxel_to_world(np.moveaxis(np.indices(geometry.shape), 0, -1))
    points = (world - shift_mm) @ rotation.as_matrix() / scale
    return np.ascontiguousarray(np.moveaxis(points, -1, 0), dtype=np.float32)


def _blurred_and_noisy(image: np.ndarray, geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """Partial volume at the borders, and smooth noise of a given strength; rounded to whole HU."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    def in_voxels(width_mm: float) -> list[float]:
        return [width_mm / step for step in geometry.spacing_mm]

    noise = gaussian_filter(random.standard_normal(image.shape, dtype=np.float32), in_voxels(NOISE_WIDTH_MM))
    noise *= NOISE_HU / noise.std()
    return np.round(gaussian_filter(image, in_voxels(BLUR_MM)) + noise)
