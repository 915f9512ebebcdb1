"""Many cases: the next one is read while one is predicted and the one before is written."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from autoseg.dataset import Case
from autoseg.errors import AutosegError
from autoseg.inference.ensemble import Ensemble, Prediction
from autoseg.inference.inputs import read_case
from autoseg.inference.output import OutputFolder
from autoseg.io import Volume


@dataclass(frozen=True)
class Listener:
    """What is told about the work. predicting: case id and the fraction of it that is done. written: case id, its
    seconds of prediction, the organs that were not found, and those that a locator missed, both with what there is to
    tell. failed: case id and why it was left out.
    """

    predicting: Callable[[str, float], None]
    written: Callable[[str, float, dict[str, str], dict[str, str]], None]
    failed: Callable[[str, AutosegError], None]


def predict_cases(
    cases: Sequence[Case], ensemble: Ensemble, output: OutputFolder, *, listener: Listener, ahead: int = 1
) -> None:
    """Predict cases in order and write them.

    ahead: how many volumes are read before their turn; with 0 there is one case in memory at a time, until it is
    written. A case that cannot be read or predicted is told to the listener and left out; where writing fails,
    everything stops.
    """
    channel_count = len(ensemble.models[0].files.channel_names)
    waiting: deque[Future[Volume]] = deque()
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        try:
            for number, case in enumerate(cases):
                last = min(number + ahead + 1, len(cases))
                for following in cases[number + len(waiting) : last]:
                    waiting.append(reader.submit(read_case, following, channel_count))
                started = time.perf_counter()
                prediction = _predict(case.id, waiting, ensemble, output, listener)
                if prediction is None:
                    continue
                if writing is not None:
                    writing.result()
                seconds = time.perf_counter() - started
                writing = writer.submit(_write, output, case.id, prediction, seconds, listener)
                del prediction
                if not ahead:
                    writing.result()
                    writing = None
            if writing is not None:
                writing.result()
        finally:
            for future in waiting:
                future.cancel()


def _predict(
    case_id: str, waiting: deque[Future[Volume]], ensemble: Ensemble, output: OutputFolder, listener: Listener
) -> Prediction | None:
    """Predict the first of the waiting volumes, which is let go once it is prepared."""
    try:
        prepared = ensemble.prepare(
            waiting.popleft().result(), case_id=case_id, keep_probabilities=output.keeps_probabilities
        )
        return ensemble.predict_prepared(
            prepared,
            keep_probabilities=output.keeps_probabilities,
            progress=lambda fraction: listener.predicting(case_id, fraction),
        )
    except AutosegError as error:
        listener.failed(case_id, error)
        return None


def _write(output: OutputFolder, case_id: str, prediction: Prediction, seconds: float, listener: Listener) -> None:
    output.write(case_id, prediction.labels, prediction.probabilities)
    listener.written(case_id, seconds, prediction.not_found, prediction.missed)
