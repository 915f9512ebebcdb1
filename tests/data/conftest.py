"""A store of prepared cases in memory, and plans that fit it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from autoseg.labels import Labels
from autoseg.plans import ChannelPlan, IntensityStatistics, LevelSpec, NetworkSpec, Plans, StagePlan, Target


@dataclass
class MemoryStore:
    """Answers like PreparedStore: images (C, Z, Y, X), labels (Z, Y, X), an index of the voxels of each class."""

    meaning: Labels
    images: dict[str, np.ndarray]
    maps: dict[str, np.ndarray]
    not_contoured: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def case_ids(self) -> list[str]:
        return sorted(self.images)

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
            index["annotated"] = np.argwhere(labels != self.meaning.ignore).astype(np.int32)
        return index


def make_stage(patch_size: tuple[int, ...], batch_size: int = 2) -> StagePlan:
    d = len(patch_size)
    level = LevelSpec((1,) * d, (3,) * d, (8, 8))
    network = NetworkSpec("unet", d, 1, 3, (level,))
    return StagePlan("stage", (1.0,) * d, tuple(map(float, patch_size)), patch_size, batch_size, network, False)


def make_plans(stage: StagePlan, **changes: object) -> Plans:
    statistics = IntensityStatistics(0, 0, 1, -1, 1, -1, 1)
    values: dict = {
        "name": "plans",
        "planner": "default",
        "dataset_name": "Dataset001_Balls",
        "fingerprint": "",
        "target": Target("cpu", 1 << 30),
        "transpose": (0, 1, 2),
        "channels": (ChannelPlan("CT", "ct", statistics),),
        "stages": {stage.name: stage},
        "configurations": {stage.name: (stage.name,)},
    }
    return Plans(**(values | changes))
