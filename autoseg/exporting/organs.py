"""Organs one by one, each in a region of its own: the second half of segment.py, which finds this file beside it.

A box is its first voxel and the one after its last, two arrays (z, y, x). Numbers are those of model.json.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

Box = tuple[np.ndarray, np.ndarray]
Part = tuple[dict[str, Any], Box, np.ndarray]
NOWHERE = "the locator found neither it nor an organ that tells where it should be"
OUTSIDE = "its expected place lies outside the volume"
MISSED = "the locator did not find it"
DOUBTED = "the locator found it far from where other organs tell that it is"
TOO_LARGE = "what the locator found is too large to be it"
NOTHING_THERE = "its own network found nothing where it was looked for"
NOTHING = "the locator found it, but its own network found nothing in its region"
OVERRULED = "other organs are likelier everywhere in its region"
REMOVED = "postprocessing removed it"


def segment_organs(
    located: np.ndarray, turned: np.ndarray, grid: Any, model: dict[str, Any], threads: int
) -> np.ndarray:
    """Labels (z, y, x) of each organ around where it was located; turned: the image in plan order, grid: a Grid."""
    script: Any = importlib.import_module("segment")
    crop = script.nonzero_box(turned)
    mask = script.nonzero_mask(turned) if any(channel["masked"] for channel in model["channels"]) else None
    plans = model["channels"]
    channels = [script.normalize(values, plan, mask, crop) for values, plan in zip(turned, plans, strict=True)]
    regions, not_found = search(located, model, grid)
    parts = [(organ, box, probability(script, channels, organ, box, grid, model, threads)) for organ, box in regions]
    labels = merge(parts, model["classes"], located.shape)
    cleaned: np.ndarray = script.clean(labels, model, math.prod(grid.spacing_mm))
    for name, reason in (not_found | unanswered(parts, labels, cleaned, model["classes"])).items():
        print(f"{name} was not found: {reason}", file=sys.stderr)
    return cleaned


def probability(
    script: Any,
    channels: Sequence[np.ndarray],
    organ: dict[str, Any],
    box: Box,
    grid: Any,
    model: dict[str, Any],
    threads: int,
) -> np.ndarray:
    """That a voxel of a box belongs to an organ. script: segment.py. channels: normalised, each in plan order."""
    transpose, stage = model["transpose"], {one["name"]: one for one in model["stages"]}[organ["stage"]]
    inside = tuple(slice(box[0][axis], box[1][axis]) for axis in transpose)
    parts, spacing = [values[inside] for values in channels], [grid.spacing_mm[axis] for axis in transpose]
    source, target = parts[0].shape, stage["spacing_mm"]
    shape = [max(1, round(s / t * n)) for n, s, t in zip(source, spacing, target, strict=True)]
    separate = script.separate_axis(spacing, target, model["anisotropy_threshold"])
    image = np.stack([script.resample_image(values, shape, separate) for values in parts])
    mirror: tuple[int, ...] = () if organ["mirrored_along"] is None else (organ["mirrored_along"] + 1,)
    networks = [script.load(script.FOLDER / name, threads) for name in stage["networks"]]
    one_organ = {**model, "outputs": 2, "classes": {organ["name"]: [1]}, "region_values": []}
    logits = np.flip(script.slide(np.flip(image, mirror), networks, stage, one_organ, None), mirror)
    outside, within = (script.interpolate(channel, source, 1, separate) for channel in logits)
    highest = np.maximum(outside, within)
    powers = np.exp(outside - highest), np.exp(within - highest)
    return np.asarray(powers[1] / (powers[0] + powers[1])).transpose(np.argsort(transpose))


def search(
    located: np.ndarray, model: dict[str, Any], grid: Any
) -> tuple[list[tuple[dict[str, Any], Box]], dict[str, str]]:
    """The regions of the organs of model.json, and why others have none. located: labels (z, y, x); grid: its Grid."""
    found, oversized = boxes(located, model, grid)
    doubted = far_from_expected(found, model, grid)
    found = {name: box for name, box in found.items() if name not in doubted}
    regions, nowhere = [], {}
    for organ in model["organs"]:
        name = organ["name"]
        if name in found:
            box: Box | None = with_margins(found[name], organ, grid)
        else:
            box = expected(organ, found, model["search"], grid) or oversized.get(name)
        otherwise = DOUBTED if name in doubted else TOO_LARGE if name in oversized else MISSED
        missed = "" if name in found else otherwise
        if box is None:
            nowhere[name] = NOWHERE
            continue
        box = clipped(box, located.shape)
        if (box[1] - box[0]).min() < 1:
            nowhere[name] = f"{missed or MISSED}, and {OUTSIDE}"
            continue
        patch = np.maximum(1, (np.divide(organ["patch_mm"], grid.spacing_mm) + 1e-6).astype(int))
        box = middle(box, largest(organ, patch, model["search"], grid, located.shape))
        regions.append(({**organ, "missed": missed}, placed(box, patch, located.shape)))
    return regions, nowhere


def boxes(located: np.ndarray, model: dict[str, Any], grid: Any) -> tuple[dict[str, Box], dict[str, Box]]:
    """Of each class the box of its large components, and those that are too large for the organ."""
    found: dict[str, Box] = {}
    oversized: dict[str, Box] = {}
    planned = {organ["name"]: organ["planned_mm"] for organ in model["organs"]}
    parts = ndimage.find_objects(located)
    for name, (value,) in model["classes"].items():
        part = parts[value - 1] if value <= len(parts) else None
        if part is None:
            continue
        components, _ = ndimage.label(located[part] == value, np.ones((3, 3, 3)))
        sizes = np.bincount(components.ravel())[1:]
        at = np.argwhere(np.isin(components, np.flatnonzero(sizes >= model["search"]["speck"] * sizes.max()) + 1))
        first = np.array([axis.start for axis in part])
        box = first + at.min(axis=0), first + at.max(axis=0) + 1
        edges_mm = (box[1] - box[0]) * np.asarray(grid.spacing_mm)
        is_large = (edges_mm > model["search"]["oversize"] * np.asarray(planned[name])).any()
        (oversized if is_large else found)[name] = box
    return found, oversized


def far_from_expected(found: Mapping[str, Box], model: dict[str, Any], grid: Any) -> set[str]:
    """Organs whose box does not touch the place where others tell that it is, unless that is half of them or more."""
    left, known = dict(found), {organ["name"]: organ for organ in model["organs"]}
    while left:
        gaps = {name: gap_mm(known[name], left, model["search"], grid) for name in left}
        farthest = max(gaps, key=lambda name: gaps[name])
        if gaps[farthest] <= 0:
            break
        del left[farthest]
    doubted = set(found) - set(left)
    return doubted if 2 * len(doubted) < len(found) else set()


def gap_mm(organ: dict[str, Any], found: Mapping[str, Box], rules: dict[str, Any], grid: Any) -> float:
    """Between a box and where those of others tell that the organ is, along the axis where it is widest."""
    offsets = organ["offsets"]
    voters = {n: box for n, box in found.items() if n in offsets and offsets[n]["cases"] >= rules["fewest_cases"]}
    place = expected(organ, voters, rules, grid) if len(voters) >= rules["fewest_voters"] else None
    if place is None:
        return 0.0
    start, stop = found[organ["name"]]
    return float(max(0.0, (np.maximum(place[0] - stop, start - place[1]) * grid.spacing_mm).max()))


def with_margins(box: Box, organ: dict[str, Any], grid: Any) -> Box:
    """A box grown by what the locator was found to miss."""
    margins = np.divide([organ["margin_low_mm"], organ["margin_high_mm"]], grid.spacing_mm)
    low, high = np.ceil(margins).astype(int)
    return box[0] - low, box[1] + high


def expected(organ: dict[str, Any], found: Mapping[str, Box], rules: dict[str, Any], grid: Any) -> Box | None:
    """Where the organs that were found say that it is: each by its mean offset, weighed by the inverse variance."""
    votes = {name: organ["offsets"][name] for name in found if name in organ["offsets"]}
    votes = {name: vote for name, vote in votes.items() if vote["cases"] >= rules["fewest_cases"]} or votes
    if not votes:
        return None
    places = np.array(
        [(np.add(*found[name]) - 1) / 2 @ grid.steps + grid.origin_mm + vote["mean_mm"] for name, vote in votes.items()]
    )
    variances = np.maximum([vote["spread_mm"] for vote in votes.values()], rules["least_spread_mm"]) ** 2
    weights = (1 / variances) / (1 / variances).sum(axis=0)
    spread = np.sqrt((weights * variances).sum(axis=0))
    centre = ((weights * places).sum(axis=0) - grid.origin_mm) @ np.linalg.inv(grid.steps)
    spacing = np.asarray(grid.spacing_mm)
    along_axes = np.abs(grid.steps / spacing[:, None]) @ spread
    half = (np.asarray(organ["large_mm"]) / 2 + rules["spreads"] * along_axes) / spacing
    return np.floor(centre - half + 0.5).astype(int), np.ceil(centre + half + 0.5).astype(int)


def largest(
    organ: dict[str, Any], patch: np.ndarray, rules: dict[str, Any], grid: Any, shape: Sequence[int]
) -> np.ndarray:
    """The most voxels that its region has."""
    believed = rules["oversize"] * np.asarray(organ["planned_mm"]) + organ["margin_low_mm"] + organ["margin_high_mm"]
    spread = max([rules["least_spread_mm"], *(max(vote["spread_mm"]) for vote in organ["offsets"].values())])
    edges_mm = np.maximum(believed, np.asarray(organ["large_mm"]) + 2 * rules["spreads"] * spread)
    edges = np.ceil(edges_mm / grid.spacing_mm).astype(int) + rules["rounding_voxels"]
    return np.minimum(np.maximum(patch, np.minimum(edges, shape)), shape)


def clipped(box: Box, shape: Sequence[int]) -> Box:
    """The part of a box inside the volume, perhaps empty."""
    start = np.clip(box[0], 0, shape)
    return start, np.maximum(start, np.minimum(box[1], shape))


def middle(box: Box, most: np.ndarray) -> Box:
    """The middle of a box, of at most these edges."""
    edges = np.minimum(box[1] - box[0], most)
    start = box[0] + (box[1] - box[0] - edges) // 2
    return start, start + edges


def placed(box: Box, least: np.ndarray, shape: Sequence[int]) -> Box:
    """A box widened evenly to the least edges, and moved into the volume."""
    edges = box[1] - box[0]
    lengths = np.minimum(np.maximum(edges, least), shape)
    start = np.minimum(np.maximum(box[0] - (lengths - edges) // 2, 0), np.subtract(shape, lengths))
    return start, start + lengths


def merge(parts: Sequence[Part], classes: Mapping[str, Sequence[int]], shape: Sequence[int]) -> np.ndarray:
    """Labels (z, y, x): the organ of the highest probability above one half, the earlier one on a tie."""
    labels, best = np.zeros(shape, np.int16), np.full(shape, 0.5, np.float32)
    for organ, (start, stop), probability in parts:
        where = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        wins = probability > best[where]
        labels[where][wins], best[where][wins] = classes[organ["name"]][0], probability[wins]
    return labels


def unanswered(
    parts: Sequence[Part], labels: np.ndarray, cleaned: np.ndarray, classes: Mapping[str, Sequence[int]]
) -> dict[str, str]:
    """Why organs that have a region are not among the labels, or not any more once they were cleaned."""
    reasons = {}
    for organ, _, probability in parts:
        name, (value,) = organ["name"], classes[organ["name"]]
        nothing = f"{organ['missed']}, and {NOTHING_THERE}" if organ["missed"] else NOTHING
        if not (labels == value).any():
            reasons[name] = OVERRULED if probability.max() > 0.5 else nothing
        elif not (cleaned == value).any():
            reasons[name] = REMOVED
    return reasons
