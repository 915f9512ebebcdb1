"""nnU-Net's export of logits; run by its own interpreter: peer_export.py REQUEST ANSWER."""

import functools
import json
import sys
import time
import types

import numpy as np
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.utilities.label_handling.label_handling import LabelManager


def resident_bytes(name: str) -> int:
    """The resident size of this process now (VmRSS:) or at its largest so far (VmHWM:)."""
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def main(request_file: str, answer_file: str) -> None:
    """Time its own function with the resampling that its planner chooses for probabilities."""
    with open(request_file) as handle:
        request = json.load(handle)
    logits = np.load(request["logits"])
    resampling = functools.partial(
        resample_data_or_seg_to_shape, is_seg=False, order=1, order_z=0, force_separate_z=None
    )
    labels = LabelManager({"background": 0} | {f"organ_{value}": value for value in range(1, len(logits))}, None)
    shape = request["shape"]
    arguments = (
        types.SimpleNamespace(transpose_forward=[0, 1, 2], transpose_backward=[0, 1, 2]),
        types.SimpleNamespace(spacing=request["grid_mm"], resampling_fn_probabilities=resampling),
        labels,
        {
            "spacing": request["spacing_mm"],
            "shape_before_cropping": shape,
            "shape_after_cropping_and_before_resampling": shape,
            "bbox_used_for_cropping": [[0, edge] for edge in shape],
        },
    )
    before = resident_bytes("VmRSS:")
    began = time.perf_counter()
    found = convert_predicted_logits_to_segmentation_with_correct_shape(logits, *arguments)
    seconds = time.perf_counter() - began
    added = resident_bytes("VmHWM:") - before
    np.save(request["labels"], found.astype(np.int16))
    with open(answer_file, "w") as handle:
        json.dump({"seconds": seconds, "added_bytes": added, "labels": request["labels"]}, handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
