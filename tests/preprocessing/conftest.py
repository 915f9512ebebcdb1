"""Plans and cases for the tests of preparation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoseg.geometry import Geometry
from autoseg.io import Volume, write_image, write_labels
from autoseg.labels import Labels
from autoseg.plans import ChannelPlan, IntensityStatistics, LevelSpec, NetworkSpec, Plans, StagePlan, Target

STATISTICS = IntensityStatistics(40.0, 45.0, 120.0, -900.0, 1500.0, -300.0, 400.0)


@pytest.fixture
def make_plans() -> Callable[..., Plans]:
    """Plans with one stage, "3d_fullres" or "2d"."""

    def make(
        spacing_mm: tuple[float, ...],
        *,
        transpose: tuple[int, ...] = (0, 1, 2),
        channels: tuple[tuple[str, bool], ...] = (("none", False),),
    ) -> Plans:
        dimensions = len(spacing_mm)
        level = LevelSpec((1,) * dimensions, (3,) * dimensions, (8,))
        network = NetworkSpec("unet", dimensions, len(channels), 3, (level,))
        name = "2d" if dimensions == 2 else "3d_fullres"
        stage = StagePlan(name, spacing_mm, (8.0,) * dimensions, (8,) * dimensions, 2, network, False)
        return Plans(
            name="plans",
            planner="default",
            dataset_name="Dataset001_Test",
            fingerprint="",
            target=Target("cpu", 8 << 30),
            transpose=transpose,
            channels=tuple(ChannelPlan(scheme, scheme, STATISTICS, masked) for scheme, masked in channels),
            stages={name: stage},
            configurations={name: (name,)},
        )

    return make


@pytest.fixture
def labels() -> Labels:
    return Labels({"one": (1,), "two": (2,), "three": (3,)})


@pytest.fixture
def make_labels() -> Callable[..., np.ndarray]:
    """Smooth random label maps: (Z, Y, X) int16 with values below `count`."""
    from scipy.ndimage import gaussian_filter

    def make(shape: tuple[int, int, int], seed: int, *, count: int = 4, smoothness: float = 2.0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        fields = [gaussian_filter(rng.normal(size=shape), smoothness) for _ in range(count)]
        return np.argmax(fields, axis=0).astype(np.int16)

    return make


@pytest.fixture
def raw_folder(tmp_path: Path, make_labels: Callable[..., np.ndarray]) -> Path:
    """A raw dataset of four small cases with two labels."""
    from autoseg.files import write_json

    folder = tmp_path / "raw" / "Dataset001_Test"
    for number in range(4):
        shape = (10 + number, 12, 11)
        geometry = Geometry(shape, (2.0, 1.0, 1.0))
        image = np.random.default_rng(number).normal(100, 20, shape).astype(np.float32)
        write_image(folder / "imagesTr" / f"case_{number}_0000.nii.gz", Volume(image, geometry))
        values = make_labels(shape, number, count=3)
        write_labels(folder / "labelsTr" / f"case_{number}.nii.gz", Volume(values, geometry))
    description = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "one": 1, "two": 2},
        "numTraining": 4,
        "file_ending": ".nii.gz",
        "not_contoured": {"case_1": ["two"]},
    }
    write_json(folder / "dataset.json", description)
    return folder
