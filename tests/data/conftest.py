"""Sources of patches over prepared cases in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autoseg.data.source import PatchSource
from autoseg.geometry import Box, Geometry
from autoseg.labels import Labels
from autoseg.plans import ChannelPlan, IntensityStatistics, LevelSpec, NetworkSpec, Plans, StagePlan, Target
from autoseg.preprocessing.case import CaseRecord, PreparedCase
from autoseg.preprocessing.foreground import ANNOTATED, sample_foreground
from autoseg.preprocessing.store import PreparedStore

SHAPE = (24, 28, 32)


@dataclass
class MemoryStore:
    """Answers like PreparedStore: images (C, Z, Y, X), labels (Z, Y, X), an index of the voxels of each class."""

    meaning: Labels
    maps: dict[str, np.ndarray]
    images: dict[str, np.ndarray]
    not_contoured: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def image(self, case_id: str) -> np.ndarray:
        return self.images[case_id]

    def labels(self, case_id: str) -> np.ndarray:
        return self.maps[case_id]

    def read(self, case_id: str) -> np.ndarray:
        return self.maps[case_id]

    def record(self, case_id: str) -> SimpleNamespace:
        return SimpleNamespace(not_contoured=self.not_contoured.get(case_id, ()))

    def foreground(self, case_id: str) -> dict[str, np.ndarray]:
        labels = self.maps[case_id]
        index = {name: np.argwhere(self.meaning.mask(labels, name)).astype(np.int32) for name in self.meaning.names}
        if self.meaning.ignore is not None:
            index[ANNOTATED] = np.argwhere(labels != self.meaning.ignore).astype(np.int32)
        return index


def make_stage(patch_size: tuple[int, ...], batch_size: int = 2) -> StagePlan:
    ones = (1,) * len(patch_size)
    network = NetworkSpec("unet", len(patch_size), 1, 3, (LevelSpec(ones, (3,) * len(patch_size), (8, 8)),))
    return StagePlan("stage", (1.0,) * len(patch_size), patch_size, patch_size, batch_size, network, False)


def make_plans(stage: StagePlan, **changes: Any) -> Plans:
    channel = ChannelPlan("CT", "ct", IntensityStatistics(0, 0, 1, -1, 1, -1, 1), masked=changes.pop("masked", False))
    values: dict[str, Any] = {
        "name": "plans",
        "planner": "default",
        "dataset_name": "Dataset001_Balls",
        "fingerprint": "",
        "target": Target("cpu", 1 << 30),
        "transpose": (0, 1, 2),
        "channels": (channel,),
        "stages": {stage.name: stage},
        "configurations": {stage.name: (stage.name,)},
    }
    return Plans(**(values | changes))


@pytest.fixture
def source_of() -> Callable[..., PatchSource]:
    """Makes a source: source_of(maps, patch_size, labels=, images=, not_contoured=, region=, plans={...}, ...)."""

    def make(maps: dict[str, np.ndarray], patch_size: tuple[int, ...], **options: Any) -> PatchSource:
        labels = options.pop("labels", Labels({"left": (1,), "right": (2,)}))
        images = options.pop("images", {name: array[None].astype(np.float32) for name, array in maps.items()})
        store = MemoryStore(labels, maps, images, options.pop("not_contoured", {}))
        stage = replace(make_stage(patch_size, options.pop("batch_size", 2)), region=options.pop("region", None))
        plans = make_plans(stage, **options.pop("plans", {}))
        previous = store if options.pop("previous", False) else None
        return PatchSource(store, list(maps), plans, stage, labels, previous=previous, **options)

    return make


@pytest.fixture
def two_balls() -> dict[str, np.ndarray]:
    """Two cases of 24 x 28 x 32 voxels: label 1 in the half of low x, label 2 in that of high x, unlike in size."""
    z, y, x = np.ogrid[:24, :28, :32]
    labels = np.zeros((24, 28, 32), np.int16)
    labels[(z - 12) ** 2 + (y - 14) ** 2 + (x - 9) ** 2 <= 25] = 1
    labels[(z - 12) ** 2 + (y - 14) ** 2 + (x - 22) ** 2 <= 9] = 2
    return {"case_0": labels, "case_1": labels.copy()}


@pytest.fixture
def stored(tmp_path: Path, source_of: Callable[..., PatchSource], two_balls: dict[str, np.ndarray]) -> PatchSource:
    """A source over cases on disk, which worker processes can open."""
    source, store = source_of(two_balls, (16, 16, 16), seed=1), PreparedStore(tmp_path)
    ones = (1.0, 1.0, 1.0)
    record = CaseRecord("", Geometry(SHAPE, ones), (0, 1, 2), Box.whole(SHAPE), SHAPE, SHAPE, ones, ones)
    for name, labels in two_balls.items():
        image = np.random.default_rng(len(name)).standard_normal((1, *SHAPE)).astype(np.float32)
        case = PreparedCase(image, labels, replace(record, case_id=name))
        store.write(case, sample_foreground(labels, source.labels))
    source.store = source.sampler.store = store
    return source
