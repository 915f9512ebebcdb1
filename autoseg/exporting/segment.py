"""Segment a volume with the networks of this folder: numpy, scipy, nibabel or SimpleITK, and onnxruntime or openvino.

    python segment.py CT.nii.gz -o labels.nii.gz                one file per channel, in the order of model.json
    python segment.py T1.nii.gz T2.nii.gz -o labels.nii.gz

model.json beside this file holds every number that is used here. Nothing of autoseg and no torch is needed. Arrays are
(z, y, x); "plan order" is the order of axes that the networks see: transpose[a] is the volume's axis that becomes a.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

Network = Callable[[np.ndarray], np.ndarray]
FOLDER = Path(__file__).parent


class Grid(NamedTuple):
    """Where voxels lie. spacing_mm: (z, y, x). steps: (3, 3), row a goes one voxel along axis a, in mm of the patient.

    The patient's axes point to the right, to the front and to the head. origin_mm: of the first voxel's centre.
    """

    spacing_mm: tuple[float, ...]
    steps: np.ndarray
    origin_mm: np.ndarray


def main() -> None:
    """Read, segment, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path, help="one file per channel")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file of the labels")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    model = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
    image, grid, write = read(options.images)
    if len(image) != len(model["channels"]):
        sys.exit(f"The model takes {len(model['channels'])} channel(s), not {len(image)}.")
    write(options.output, segment(image, grid, model, threads=options.threads))


def segment(image: np.ndarray, grid: Grid, model: dict[str, Any], *, threads: int = 1) -> np.ndarray:
    """Labels (z, y, x) int16 of an image (C, z, y, x)."""
    transpose = model["transpose"]
    turned = image.transpose(0, *[axis + 1 for axis in transpose]).astype(np.float32)
    spacing = [grid.spacing_mm[axis] for axis in transpose]
    crop = nonzero_box(turned)
    cropped = np.ascontiguousarray(turned[(slice(None), *crop)])
    found: dict[str, np.ndarray] = {}
    of_organs = {organ["stage"] for organ in model["organs"]}
    for stage in model["stages"]:
        if stage["name"] in of_organs:
            continue
        labels = np.zeros(turned.shape[1:], dtype=np.int16)
        previous = found[stage["previous_stage"]][crop] if stage["previous_stage"] else None
        labels[crop] = run_stage(cropped, spacing, previous, stage, model, threads)
        found[stage["name"]] = labels
    back = labels.transpose(np.argsort(transpose))
    if model["organs"]:
        sys.path.insert(0, str(FOLDER))
        sys.dont_write_bytecode = True
        organs: Any = importlib.import_module("organs")
        return organs.segment_organs(back, turned, grid, model, threads)
    return clean(back, model, math.prod(grid.spacing_mm))


def run_stage(
    cropped: np.ndarray,
    spacing: Sequence[float],
    previous: np.ndarray | None,
    stage: dict[str, Any],
    model: dict[str, Any],
    threads: int,
) -> np.ndarray:
    """One resolution: prepare, run the windows, restore. cropped: (C, z, y, x) in plan order; labels of its shape."""
    target = stage["spacing_mm"] if len(stage["spacing_mm"]) == 3 else [spacing[0], *stage["spacing_mm"]]
    source = cropped.shape[1:]
    shape = [max(1, round(s / t * n)) for n, s, t in zip(source, spacing, target, strict=True)]
    separate = separate_axis(spacing, target, model["anisotropy_threshold"])
    mask = nonzero_mask(cropped) if any(channel["masked"] for channel in model["channels"]) else None
    channels = [normalize(values, plan, mask) for values, plan in zip(cropped, model["channels"], strict=True)]
    prepared = [resample_image(values, shape, separate) for values in channels]
    if previous is not None:
        on_grid = resample_labels(previous, shape, separate)
        prepared += [np.isin(on_grid, values).astype(np.float32) for values in model["classes"].values()]
    is_air = air_test(cropped, spacing, shape, model["air"]) if model["air"] else None
    networks = [load(FOLDER / name, threads) for name in stage["networks"]]
    logits = slide(np.stack(prepared), networks, stage, model, is_air)
    return decide(logits, source, separate, model)


# Networks


def load(path: Path, threads: int) -> Network:
    """A network: (1, C, *patch) float32 to logits (1, K, *patch)."""
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda batch: session.run(["logits"], {"image": np.ascontiguousarray(batch)})[0]
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # nothing is reported to anybody
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return lambda batch: compiled(np.ascontiguousarray(batch))[0].copy()


def slide(
    image: np.ndarray,
    networks: Sequence[Network],
    stage: dict[str, Any],
    model: dict[str, Any],
    is_air: Callable[[Sequence[slice]], bool] | None,
) -> np.ndarray:
    """Logits (K, z, y, x) of an image (C, z, y, x): windows, blended by Gaussian weights."""
    patch = [1] * (3 - len(stage["patch_size"])) + stage["patch_size"]
    missing = [max(p - n, 0) for n, p in zip(image.shape[1:], patch, strict=True)]
    before = [m // 2 for m in missing]
    padded = np.pad(image, [(0, 0), *((b, m - b) for b, m in zip(before, missing, strict=True))])
    axes = [
        window_axis(n, p, stage["overlap"], stage["weight_sigma"]) for n, p in zip(padded.shape[1:], patch, strict=True)
    ]
    sums = np.zeros((model["outputs"], *padded.shape[1:]), dtype=np.float32)
    for (z, wz), (y, wy), (x, wx) in itertools.product(*axes):
        where = (slice(z, z + patch[0]), slice(y, y + patch[1]), slice(x, x + patch[2]))
        weights = wz[:, None, None] * wy[None, :, None] * wx[None, None, :]
        if is_air is not None and is_air([slice(w.start - b, w.stop - b) for w, b in zip(where, before, strict=True)]):
            logits = np.array(model["air"]["logits"], dtype=np.float32)[:, None, None, None]
        else:
            logits = window_logits(padded[(slice(None), *where)], networks, stage, model)
        sums[(slice(None), *where)] += weights * logits
    inside = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    return sums[(slice(None), *inside)]


def window_logits(
    window: np.ndarray, networks: Sequence[Network], stage: dict[str, Any], model: dict[str, Any]
) -> np.ndarray:
    """The mean over flips and networks of a window (C, z, y, x): (K, z, y, x)."""
    total = np.zeros((model["outputs"], *window.shape[1:]), dtype=np.float32)
    images, first = len(model["channels"]), model["outputs"] - len(model["classes"])
    for axes in stage["flips"]:
        exchanges = stage["left_right_axis"] in axes
        partners = stage["left_right_partners"]
        flipped = np.flip(window, tuple(axis + 1 for axis in axes))
        if exchanges and len(window) > images:
            flipped = np.concatenate([flipped[:images], flipped[images:][partners]])
        for network in networks:
            is_2d = len(stage["patch_size"]) == 2
            batch = flipped[:, 0][None] if is_2d else flipped[None]
            logits = network(batch)[0]
            logits = np.flip(logits[:, None] if is_2d else logits, tuple(axis + 1 for axis in axes))
            if exchanges:
                logits = np.concatenate([logits[:first], logits[first:][partners]])
            total += logits
    return total / (len(stage["flips"]) * len(networks))


def window_axis(length: int, patch: int, overlap: float, sigma: float) -> list[tuple[int, np.ndarray]]:
    """First voxel and weights (patch,) of each window along an axis; weights sum to one on every voxel."""
    starts = [0]
    if length > patch:
        count = math.ceil((length - patch) / max(1.0, patch * (1 - overlap))) + 1
        starts = [int(start) for start in np.round(np.linspace(0, length - patch, count))]
    plain = np.exp(-0.5 * ((np.arange(patch) - (patch - 1) / 2) / (patch * sigma)) ** 2)
    total = np.zeros(length)
    for start in starts:
        total[start : start + patch] += plain
    return [(start, (plain / total[start : start + patch]).astype(np.float32)) for start in starts]


def air_test(
    cropped: np.ndarray, spacing: Sequence[float], shape: Sequence[int], air: dict[str, Any]
) -> Callable[[Sequence[slice]], bool]:
    """Whether a box on the grid of the windows lies farther than the margin from everything above the threshold."""
    block = [max(1, int(air["block_mm"] // step)) for step in spacing]
    tissue = cropped[air["channel"]] > air["tissue_above"]
    for axis, edge in enumerate(block):
        tissue = np.logical_or.reduceat(tissue, np.arange(0, tissue.shape[axis], edge), axis=axis)
    margins = [air["margin_mm"] / step for step in spacing]

    def is_air(where: Sequence[slice]) -> bool:
        part = []
        for box, length, own, edge, margin in zip(where, shape, cropped.shape[1:], block, margins, strict=True):
            low = max(int((box.start * own / length - margin) // edge), 0)
            high = min(int(-(-(box.stop * own / length + margin) // edge)), -(-own // edge))
            part.append(slice(low, max(high, low)))
        return not tissue[tuple(part)].any()

    return is_air


# Grids


def nonzero_box(image: np.ndarray) -> tuple[slice, ...]:
    """Where any channel of (C, z, y, x) is not zero; everywhere where none is."""
    found = np.argwhere((image != 0).any(axis=0))
    if not len(found):
        return tuple(slice(0, n) for n in image.shape[1:])
    return tuple(slice(int(a), int(b) + 1) for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True))


def nonzero_mask(image: np.ndarray) -> np.ndarray:
    """Where any channel is not zero, with holes filled: (z, y, x)."""
    return ndimage.binary_fill_holes((image != 0).any(axis=0))


def normalize(values: np.ndarray, plan: dict[str, Any], mask: np.ndarray | None, part: Any = ...) -> np.ndarray:
    """A channel (z, y, x) brought to the scale that the networks know. part: what of it the scale is taken from."""
    mask = mask if plan["masked"] else None
    own = (values[part] if mask is None else values[part][mask[part]]).astype(np.float64)
    shift, scale, result = 0.0, 1.0, values
    if plan["clip"] is not None:
        result = np.clip(result, np.float32(plan["clip"][0]), np.float32(plan["clip"][1]))
    if plan["scale"] == "fixed":
        shift, scale = plan["subtract"], plan["divide"]
    elif plan["scale"] == "deviation" and own.size:
        shift, scale = own.mean(), own.std()
    elif plan["scale"] == "range" and own.size:
        shift, scale = own.min(), own.max() - own.min()
    result = (result - np.float32(shift)) / np.float32(max(scale, plan["smallest_scale"]))
    return result if mask is None else np.where(mask, result, np.float32(0))


def separate_axis(spacing: Sequence[float], target: Sequence[float], threshold: float) -> int | None:
    """The axis of thick slices, which takes the nearest one."""
    for edges in (spacing, target):
        if max(edges) / min(edges) > threshold:
            axes = [axis for axis, edge in enumerate(edges) if edge == max(edges)]
            return axes[0] if len(axes) == 1 else None
    return None


def axis_matrix(inputs: int, outputs: int, order: int) -> np.ndarray:
    """(outputs, inputs): interpolation along an axis, of order 0, 1 or 3, where both grids cover the same extent."""
    centres = (np.arange(outputs) + 0.5) * (inputs / outputs) - 0.5
    if order == 0:
        return np.eye(inputs)[np.clip(np.floor(centres + 0.5).astype(int), 0, inputs - 1)]
    matrix = np.zeros((outputs, inputs))
    if order == 1:
        at = np.clip(centres, 0, inputs - 1)
        low = np.floor(at).astype(int)
        np.add.at(matrix, (np.arange(outputs), low), 1 - (at - low))
        np.add.at(matrix, (np.arange(outputs), np.minimum(low + 1, inputs - 1)), at - low)
        return matrix
    padding = 12
    padded = np.pad(np.eye(inputs), ((padding, padding), (0, 0)), mode="edge")
    coefficients = ndimage.spline_filter1d(padded, 3, axis=0, mode="nearest")
    low = np.floor(centres + padding).astype(int)
    t = (centres + padding - low)[:, None]
    knots = ((1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 4 - 6 * (1 - t) ** 2 + 3 * (1 - t) ** 3, t**3)
    for offset, weight in enumerate(knots):
        matrix += weight / 6 * coefficients[low + offset - 1]
    return matrix


def interpolate(array: np.ndarray, shape: Sequence[int], order: int, separate: int | None) -> np.ndarray:
    """An array (z, y, x) on a grid of another shape over the same extent, float32."""
    result = array.astype(np.float64)
    for axis, (inputs, outputs) in enumerate(zip(array.shape, shape, strict=True)):
        if inputs != outputs:
            matrix = axis_matrix(inputs, outputs, 0 if axis == separate else order)
            result = np.moveaxis(np.tensordot(matrix, result, (1, axis)), 0, axis)
    return result.astype(np.float32)


def resample_image(values: np.ndarray, shape: Sequence[int], separate: int | None) -> np.ndarray:
    """By cubic splines, kept within the range of what is interpolated: of all, or of each thick slice."""
    if tuple(shape) == values.shape:
        return values
    result = interpolate(values, shape, 3, separate)
    if separate is None:
        return np.clip(result, values.min(), values.max())
    others = tuple(axis for axis in range(3) if axis != separate)
    nearest = axis_matrix(values.shape[separate], shape[separate], 0).argmax(axis=1)
    low, high = values.min(axis=others)[nearest], values.max(axis=others)[nearest]
    line = [-1 if axis == separate else 1 for axis in range(3)]
    return np.clip(result, low.reshape(line), high.reshape(line))


def resample_labels(labels: np.ndarray, shape: Sequence[int], separate: int | None) -> np.ndarray:
    """Every label's mask linearly; the largest weight wins, the higher label on a tie."""
    tie = 1e-6
    if tuple(shape) == labels.shape:
        return labels
    result, best = np.zeros(shape, np.int16), np.zeros(shape, np.float32)
    background = np.ones(shape, np.float32)
    for value in range(1, int(labels.max(initial=0)) + 1):
        weight = interpolate(labels == value, shape, 1, separate)
        background -= weight
        better = weight >= np.maximum(best - tie, tie)
        best[better], result[better] = weight[better], value
    result[background > best + tie] = 0
    return result


def decide(logits: np.ndarray, shape: Sequence[int], separate: int | None, model: dict[str, Any]) -> np.ndarray:
    """Labels on the source's grid: logits interpolated linearly, then the largest one, or every positive region."""
    result = np.zeros(shape, dtype=np.int16)
    if model["region_values"]:
        for channel, value in zip(logits, model["region_values"], strict=True):
            result[interpolate(channel, shape, 1, separate) > 0] = value
        return result
    best = interpolate(logits[0], shape, 1, separate)
    for channel, values in zip(logits[1:], model["classes"].values(), strict=True):
        logit = interpolate(channel, shape, 1, separate)
        better = logit > best
        best[better], result[better] = logit[better], values[0]
    return result


# Cleaning


def clean(labels: np.ndarray, model: dict[str, Any], voxel_mm3: float) -> np.ndarray:
    """Apply the rules that were found to pay on held-out cases."""
    for rule in model["postprocessing"]:
        values = model["classes"].get(rule["target"])
        mask = labels > 0 if values is None else np.isin(labels, values)
        if not mask.any():
            continue
        after = ndimage.binary_fill_holes(mask) if rule["kind"] == "fill_holes" else kept(mask, rule, voxel_mm3)
        if values is not None and model["region_values"]:
            painted = np.zeros_like(labels)
            for name, value in zip(model["classes"], model["region_values"], strict=True):
                region = after if name == rule["target"] else np.isin(labels, model["classes"][name])
                painted[region] = value
            labels = np.where(mask != after, painted, labels)
        else:
            labels = np.where(mask & ~after, np.int16(0), labels)
            if values is not None:
                labels = np.where(after & ~mask & (labels == 0), np.int16(values[0]), labels)
    return labels


def kept(mask: np.ndarray, rule: dict[str, Any], voxel_mm3: float) -> np.ndarray:
    """The components that a rule leaves; they touch by faces, edges or corners."""
    components, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    keep = np.arange(len(sizes)) == sizes.argmax()
    if rule["kind"] == "minimum_volume":
        keep = sizes * voxel_mm3 >= rule["minimum_mm3"]
    keep[0] = False
    return keep[components]


# Files

Write = Callable[[Path, np.ndarray], None]


def read(paths: Sequence[Path]) -> tuple[np.ndarray, Grid, Write]:
    """The channels (C, z, y, x), their grid, and what writes labels on it."""
    if all(path.name.endswith((".nii", ".nii.gz")) for path in paths):
        import nibabel

        images: list[Any] = [nibabel.load(path) for path in paths]
        affine = images[0].affine

        def write_nifti(path: Path, labels: np.ndarray) -> None:
            nibabel.save(nibabel.Nifti1Image(labels.T, affine, dtype=np.int16), path)

        arrays = [np.asarray(image.dataobj, dtype=np.float32).T for image in images]
        return np.stack(arrays), grid_of(affine[:3, 2::-1].T, affine[:3, 3]), write_nifti
    import SimpleITK

    volumes = [SimpleITK.ReadImage(str(path)) for path in paths]

    def write_itk(path: Path, labels: np.ndarray) -> None:
        image = SimpleITK.GetImageFromArray(labels)
        image.CopyInformation(volumes[0])
        SimpleITK.WriteImage(image, str(path), True)

    arrays = [SimpleITK.GetArrayFromImage(volume).astype(np.float32) for volume in volumes]
    to_patient = np.array([-1.0, -1.0, 1.0])  # its axes point to the left and to the back
    columns = np.reshape(volumes[0].GetDirection(), (3, 3)) * volumes[0].GetSpacing()
    return np.stack(arrays), grid_of(columns.T[::-1] * to_patient, volumes[0].GetOrigin() * to_patient), write_itk


def grid_of(steps: np.ndarray, origin_mm: np.ndarray) -> Grid:
    """The grid with these steps from voxel to voxel, (z, y, x) first."""
    z, y, x = np.sqrt((steps**2).sum(axis=1)).tolist()
    return Grid((z, y, x), np.asarray(steps, dtype=float), np.asarray(origin_mm, dtype=float))


if __name__ == "__main__":
    main()
