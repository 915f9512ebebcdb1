"""autoseg's export of logits: autoseg_export.py REQUEST ANSWER."""

from __future__ import annotations

import sys
import time

import numpy as np

from autoseg.files import read_json, write_json
from autoseg.geometry import Box, Geometry
from autoseg.labels import Labels
from autoseg.preprocessing.case import CaseRecord
from autoseg.preprocessing.restore import restore_labels
from autoseg.runtime import usable_cores


def resident_bytes(name: str) -> int:
    """The resident size of this process now (VmRSS:) or at its largest so far (VmHWM:)."""
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def main(request_file: str, answer_file: str) -> None:
    """Time restore_labels on all cores."""
    request = read_json(request_file)
    logits = np.load(request["logits"])
    shape, spacing_mm = tuple(request["shape"]), tuple(request["spacing_mm"])
    record = CaseRecord(
        case_id="case",
        geometry=Geometry(shape, spacing_mm),
        transpose=(0, 1, 2),
        crop=Box.whole(shape),
        cropped_shape=shape,
        prepared_shape=logits.shape[1:],
        source_spacing_mm=spacing_mm,
        spacing_mm=tuple(request["grid_mm"]),
    )
    labels = Labels({f"organ_{value}": (value,) for value in range(1, len(logits))})
    before = resident_bytes("VmRSS:")
    began = time.perf_counter()
    found = restore_labels(logits, record, labels, workers=usable_cores())
    seconds = time.perf_counter() - began
    added = resident_bytes("VmHWM:") - before
    np.save(request["labels"], found)
    write_json(answer_file, {"seconds": seconds, "added_bytes": added, "labels": request["labels"]})


if __name__ == "__main__":
    main(*sys.argv[1:])
