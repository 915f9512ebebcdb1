"""A small untrained network with many classes, and a long volume: autoseg_many_classes.py REQUEST ANSWER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoseg.files import read_json, write_json
from autoseg.networks import build_network
from autoseg.networks.storage import save_network
from autoseg.plans import (
    ChannelPlan,
    IntensityStatistics,
    Plans,
    StagePlan,
    Target,
    write_plans,
)
from autoseg.runtime.speed import plain_unet

WIDTHS, PATCH = (8, 16, 32), 64


def main(request_file: str, answer_file: str) -> None:
    """Write both into the folder of the request."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from comparison.volumes import draw_ct, write_nifti

    request = read_json(request_file)
    folder, shape = Path(request["folder"]), tuple(request["shape"])
    image = np.concatenate([slab for slab, _ in draw_ct(shape, 0)])
    write_nifti(folder / "images" / "long_0000.nii.gz", image, tuple(request["spacing_mm"]))
    plans = _plans(request)
    model = folder / "model__3d_fullres"
    write_plans(model / "plans.json", plans)
    labels = {"background": 0} | {f"organ_{value}": value for value in range(1, 1 + request["classes"])}
    write_json(model / "dataset.json", {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"})
    torch.manual_seed(0)
    save_network(model / "fold_0" / "model.safetensors", build_network(plans.stages["3d_fullres"].network))
    write_json(answer_file, {})


def _plans(request: dict[str, Any]) -> Plans:
    spacing = (request["grid_mm"],) * 3
    edges = [n * mm / request["grid_mm"] for n, mm in zip(request["shape"], request["spacing_mm"], strict=True)]
    patch = tuple(min(PATCH, max(4, int(edge) // 4 * 4)) for edge in edges)
    spec = plain_unet(WIDTHS, out_channels=1 + request["classes"])
    stage = StagePlan("3d_fullres", spacing, tuple(edges), patch, 2, spec, False, flips="none")
    statistics = IntensityStatistics(0.0, 0.0, 300.0, -1000.0, 1000.0, -1000.0, 1000.0)
    return Plans(
        name="plans",
        planner="default",
        dataset_name="Dataset301_ManyClasses",
        fingerprint="0" * 64,
        target=Target("cpu", 2**33),
        transpose=(0, 1, 2),
        channels=(ChannelPlan("CT", "ct", statistics),),
        stages={"3d_fullres": stage},
        configurations={"3d_fullres": ("3d_fullres",)},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
