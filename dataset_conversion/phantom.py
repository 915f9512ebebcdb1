"""The embedded datasets: synthetic CT of bodies in air, drawn from shapes, the same for the same seed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_conversion.bodies import BODIES, DEFAULT_BODY

if TYPE_CHECKING:
    import numpy as np

    from autoseg.geometry import Geometry
    from autoseg.io import Volume
    from dataset_conversion.anatomy import Body, Pose
    from dataset_conversion.writer import CaseContent

VERSION = 1
NOISE_HU = 20.0
NOISE_WIDTH_MM = 1.2
BLUR_MM = 0.8


class PhantomConverter:
    """autoseg_convert phantom -d 1."""

    summary = "nothing: synthetic CT of a part of the body with its organs, for trying things out"
    needs_source = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Which part of the body, how many cases, and which."""
        parser.add_argument(
            "--site",
            choices=tuple(BODIES),
            default=DEFAULT_BODY,
            help=f"a site with organs of real size, liver (with tumours), or the small and quick {DEFAULT_BODY} (it)",
        )
        parser.add_argument("--cases", type=int, default=20, metavar="N", help="training cases (20)")
        parser.add_argument("--test-cases", type=int, default=5, metavar="N", help="test cases (5)")
        parser.add_argument("--seed", type=int, default=0, help="another seed draws other patients (0)")
        parser.add_argument(
            "--shape", type=_shape, metavar="Z,Y,X", help="voxels over the same field of view (the site's)"
        )

    def dataset_name(self, source: object, options: argparse.Namespace) -> str:
        """Phantom, and the site where one was chosen."""
        return "Phantom" if options.site == DEFAULT_BODY else f"Phantom_{options.site}"

    def convert(
        self, source: object, folder: Path, options: argparse.Namespace, progress: Callable[[int, int], None] | None
    ) -> None:
        """Write the dataset."""
        write_phantom_dataset(
            folder,
            cases=options.cases,
            test_cases=options.test_cases,
            seed=options.seed,
            site=options.site,
            shape=options.shape,
            workers=options.workers,
            progress=progress,
        )


def write_phantom_dataset(
    folder: Path,
    *,
    cases: int,
    test_cases: int = 0,
    seed: int = 0,
    site: str = DEFAULT_BODY,
    shape: tuple[int, int, int] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw patients and write them as a raw dataset; equal arguments give equal files.

    cases, test_cases: how many; test cases have labels. site: a name in BODIES. shape: (Z, Y, X) voxels in place of the
    body's own, over the same field of view. Raises OptionError for an unknown site, no cases or a negative seed.
    """
    from autoseg.errors import OptionError
    from autoseg.registry import resolve
    from dataset_conversion.writer import DatasetFacts, SourceCase, write_dataset

    if cases < 1 or test_cases < 0 or seed < 0:
        raise OptionError(
            f"Cannot draw {cases} training and {test_cases} test cases with the seed {seed}.",
            "Draw at least one training case, with a seed of 0 or more.",
        )
    body: Body = resolve("site", BODIES, site)
    parts = ["Tr"] * cases + ["Ts"] * test_cases
    settings = {"version": VERSION, "site": site, "seed": seed, "shape": shape or body.shape}
    sources = [
        SourceCase(
            f"phantom_{number:03d}",
            part,
            (),
            partial(_draw_case, body, seed, number, shape),
            {**settings, "number": number},
        )
        for number, part in enumerate(parts, start=1)
    ]
    labels = {organ: value for value, organ in enumerate(body.classes, start=1)}
    texts = {"name": "Phantom", "description": f"Synthetic CT of {body.title}, drawn by autoseg"}
    write_dataset(folder, sources, DatasetFacts(("CT",), labels, texts), workers=workers, progress=progress)


def _draw_case(body: Body, seed: int, number: int, shape: tuple[int, int, int] | None) -> CaseContent:
    from dataset_conversion.writer import CaseContent

    image, labels = draw(body, seed, number, shape)
    return CaseContent((image,), labels)


def draw(body: Body, seed: int, number: int, shape: tuple[int, int, int] | None = None) -> tuple[Volume, Volume]:
    """Draw one patient: image (Z, Y, X) float32 in whole HU, and labels (Z, Y, X) int16 in the order of body.classes.

    Patients differ in spacing, pose (rotation, shift, scale of the whole body) and place and size of each tissue. The
    array axes run feet to head, front to back, right to left, as in most CT.
    """
    import numpy as np

    from autoseg.io import Volume
    from dataset_conversion.bodies import AIR_HU

    random = np.random.default_rng([seed, number])
    geometry = _draw_geometry(random, body, shape or body.shape)
    points = _points_in_body(geometry, body.pose, random)
    image = np.full(geometry.shape, AIR_HU, dtype=np.float32)
    labels = np.zeros(geometry.shape, dtype=np.int16)
    values = {organ: value for value, organ in enumerate(body.classes, start=1)}
    for tissue in body.tissues:
        drawn = tissue.of_patient(random, body.variation)
        inside = np.any([solid.contains(points) for solid in drawn.solids], axis=0)
        if drawn.within is not None:
            inside &= labels == values[drawn.within]
        image[inside] = drawn.intensity_hu
        if drawn.organ or drawn.within is None:
            labels[inside] = values[drawn.organ] if drawn.organ else 0
    return Volume(_blurred_and_noisy(image, geometry, random), geometry), Volume(labels, geometry)


def _draw_geometry(random: np.random.Generator, body: Body, shape: tuple[int, int, int]) -> Geometry:
    """A grid centred on the world's origin over the body's extent, give or take 3 % along z and in the plane.

    y and x run against the world's.
    """
    import numpy as np

    from autoseg.geometry import Geometry

    in_plane, along_z = random.uniform(0.97, 1.03, 2)
    factors = (along_z, in_plane, in_plane)
    steps = np.round(np.multiply(body.extent_mm, factors) / shape, 3).tolist()
    spacing = (steps[0], steps[1], steps[2])
    half = [(n - 1) * step / 2 for n, step in zip(shape, spacing, strict=True)]
    axes = ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0))
    return Geometry(shape, spacing, (half[2], half[1], -half[0]), axes)


def _points_in_body(geometry: Geometry, pose: Pose, random: np.random.Generator) -> np.ndarray:
    """(3, Z, Y, X) float32 mm: where each voxel lies in the body, by a random similarity transform."""
    import numpy as np
    from scipy.spatial.transform import Rotation

    turn_deg = random.uniform(-pose.turn_deg, pose.turn_deg, 3)
    rotation = Rotation.from_euler("xyz", turn_deg, degrees=True)
    scale, shift_mm = random.uniform(*pose.scale), random.uniform(-pose.shift_mm, pose.shift_mm, 3)
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


def _shape(text: str) -> tuple[int, int, int]:
    numbers = [int(part) for part in text.split(",") if part.isascii() and part.isdecimal()]
    if len(numbers) != 3 or min(numbers) < 1 or text.count(",") != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 40,80,80")
    return numbers[0], numbers[1], numbers[2]
