"""Made-up data: volumes as large as CTs, with a body in air, and logits of many classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.files import atomic_path, write_json

AIR_HU, TISSUE_HU, NOISE_HU = -1000, 40, 15
ORGANS = ("liver", "spleen", "kidney", "spine")
Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Ellipsoid:
    """In shares of the volume's edges (z, y, x)."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]

    def distance(self, shape: Shape, rows: slice) -> np.ndarray:
        """(rows, y, x) float32: squared distance from the centre, 1 on the surface."""
        parts = []
        for axis, (centre, radius) in enumerate(zip(self.centre, self.radii, strict=True)):
            place = (np.arange(shape[axis], dtype=np.float32) + 0.5) / shape[axis]
            squares = ((place - centre) / radius) ** 2
            parts.append((squares[rows] if axis == 0 else squares).reshape([-1 if a == axis else 1 for a in range(3)]))
        return parts[0] + parts[1] + parts[2]


BODY = Ellipsoid((0.5, 0.5, 0.5), (0.9, 0.32, 0.43))


def draw_ct(shape: Shape, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Slabs (rows, y, x) of a CT-like volume, int16 HU, and of its labels, uint8: a body in air with four organs."""
    rng = np.random.default_rng(seed)
    organs = [_organ(rng) for _ in ORGANS]
    noise = rng.normal(0, NOISE_HU, (8, *shape[1:])).astype(np.int16)
    for start in range(0, shape[0], 8):
        rows = slice(start, min(start + 8, shape[0]))
        inside = BODY.distance(shape, rows) < 1
        image = np.where(inside, TISSUE_HU, AIR_HU).astype(np.int16)
        labels = np.zeros(image.shape, np.uint8)
        for value, organ in enumerate(organs, start=1):
            there = organ.distance(shape, rows) < 1
            image[there] = TISSUE_HU + 30 * value
            labels[there] = value
        yield image + np.roll(noise, start * 7, axis=2)[: len(image)], labels


def _organ(rng: np.random.Generator) -> Ellipsoid:
    z, y, x = rng.uniform(0.3, 0.7), rng.uniform(0.42, 0.58), rng.uniform(0.3, 0.7)
    depth, height, width = rng.uniform((0.08, 0.06, 0.06), (0.2, 0.12, 0.14))
    return Ellipsoid((z, y, x), (float(depth), float(height), float(width)))


def write_ct_dataset(folder: Path, shape: Shape, spacings_mm: tuple[Spacing, ...]) -> None:
    """A raw dataset of one CT-like case per spacing (z, y, x); nothing is done where it is complete already."""
    if (folder / "dataset.json").exists():
        return
    for number, spacing_mm in enumerate(spacings_mm):
        name, slabs = f"ct_{number:02d}", list(draw_ct(shape, number))
        write_nifti(folder / "imagesTr" / f"{name}_0000.nii.gz", np.concatenate([i for i, _ in slabs]), spacing_mm)
        write_nifti(folder / "labelsTr" / f"{name}.nii.gz", np.concatenate([v for _, v in slabs]), spacing_mm)
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0} | {organ: value for value, organ in enumerate(ORGANS, start=1)},
        "numTraining": len(spacings_mm),
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", description)


def write_nifti(path: Path, array: np.ndarray, spacing_mm: Spacing) -> None:
    """Write (z, y, x) voxels of their own type, little compressed as scanners' exports are."""
    import nibabel
    from nibabel.openers import Opener

    Opener.default_compresslevel = 1
    image = nibabel.Nifti1Image(array.T, np.diag([*spacing_mm[::-1], 1.0]))
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)


def write_logits(path: Path, shape: Shape, classes: int, dtype: str) -> None:
    """(1 + classes, *shape) npy: background 0; each class positive in an ellipsoid with a rough surface, apart or not.

    Written class by class; memory does not depend on their number.
    """
    rng = np.random.default_rng(classes)
    noise = rng.normal(0, 0.5, shape).astype(np.float32)
    with atomic_path(path) as temporary:
        out = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=(1 + classes, *shape))
        for channel in out[1:]:
            centre = rng.uniform(0.15, 0.85, 3)
            radii = rng.uniform(0.05, 0.2, 3)
            ellipsoid = Ellipsoid(tuple(centre.tolist()), tuple(radii.tolist()))
            distance = ellipsoid.distance(shape, slice(None))
            channel[...] = np.maximum(4 * (1 - distance), -10) + np.roll(noise, rng.integers(99), axis=2)
        out.flush()
        del out
