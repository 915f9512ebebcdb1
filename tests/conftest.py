"""Fixtures that every room's tests may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from autoseg.plans import Plans


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real volumes; without AUTOSEG_TEST_DATA the test is skipped."""
    folder = os.environ.get("AUTOSEG_TEST_DATA")
    if not folder:
        pytest.skip("AUTOSEG_TEST_DATA is not set: the real volumes are not at hand")
    return Path(folder)


@pytest.fixture
def cuda() -> str:
    """The device of a GPU; where there is none, the test is skipped."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU that torch can use")
    return "cuda"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements of this machine are cached apart from the user's."""
    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def write_model() -> Callable[..., Plans]:
    """A function write_model(folder, *, configuration, folds, regions, seed) that writes a small model folder.

    Its plans have 3d_fullres, 2d and 3d_cascade over 3d_lowres; spacing 1.5 and 2.5 mm; classes organ_left, organ_right
    and lesion, or three nested regions; one channel without normalisation.
    """
    return _write_model


def _write_model(
    folder: Path,
    *,
    configuration: str = "3d_fullres",
    folds: tuple[str, ...] = ("0",),
    regions: bool = False,
    seed: int = 0,
) -> Plans:
    import torch

    from autoseg.files import write_json
    from autoseg.networks import build_network
    from autoseg.networks.storage import save_network
    from autoseg.plans import write_plans

    plans = _small_plans(regions)
    write_plans(folder / "plans.json", plans)
    labels = {"background": 0, "organ_left": 1, "organ_right": 2, "lesion": 3}
    nested = {"background": 0, "organ_left": [1, 2, 3], "organ_right": [2, 3], "lesion": 3}
    description = {"channel_names": {"0": "CT"}, "labels": nested if regions else labels, "file_ending": ".nii.gz"}
    write_json(folder / "dataset.json", description | ({"regions_class_order": [1, 2, 3]} if regions else {}))
    stages = plans.configuration_stages(configuration)
    for number, stage in enumerate(stages):
        place = folder if stage is stages[-1] else folder / "stages" / stage.name
        for fold in folds:
            torch.manual_seed(seed + 10 * number + len(fold) + ord(fold[0]))
            save_network(place / f"fold_{fold}" / "model.safetensors", build_network(stage.network))
    return plans


def _small_plans(regions: bool) -> Plans:
    from autoseg.plans import ChannelPlan, IntensityStatistics, LevelSpec, NetworkSpec, Plans, StagePlan, Target

    def stage(name: str, spacing_mm: float, dimensions: int = 3, previous: str | None = None) -> StagePlan:
        ones, twos, threes = (1,) * dimensions, (2,) * dimensions, (3,) * dimensions
        levels = (LevelSpec(ones, threes, (8,), (), 8, (8,)), LevelSpec(twos, threes, (16,)))
        spec = NetworkSpec("unet", dimensions, 4 if previous else 1, 3 if regions else 4, levels)
        patch = (16, 12, 12)[-dimensions:]
        return StagePlan(name, (spacing_mm,) * dimensions, (20.0,) * dimensions, patch, 2, spec, False, previous)

    stages = [stage("3d_fullres", 1.5), stage("2d", 1.5, 2), stage("3d_lowres", 2.5)]
    stages.append(stage("3d_cascade_fullres", 1.5, previous="3d_lowres"))
    configurations = {"3d_fullres": ("3d_fullres",), "2d": ("2d",), "3d_cascade": ("3d_lowres", "3d_cascade_fullres")}
    statistics = IntensityStatistics(0.0, 0.0, 1.0, -1.0, 1.0, -1.0, 1.0)
    return Plans(
        name="plans",
        planner="default",
        dataset_name="Dataset001_Small",
        fingerprint="0" * 64,
        target=Target("cpu", 2**33),
        transpose=(0, 1, 2),
        channels=(ChannelPlan("CT", "none", statistics),),
        stages={one.name: one for one in stages},
        configurations=configurations,
        left_right_axis=None if regions else 2,
        left_right_pairs=() if regions else (("organ_left", "organ_right"),),
    )
