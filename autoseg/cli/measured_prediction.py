"""autoseg_predict in a process of its own, which tells the memory that it took at most.

python -m autoseg.cli.measured_prediction reads a PredictionRequest as JSON and writes a PredictionAnswer.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass

from autoseg.cli import predict
from autoseg.files import from_json, to_json
from autoseg.runtime.child import answer_of

PREDICT = ("-m", "autoseg.cli.measured_prediction")
TIMEOUT_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True)
class PredictionRequest:
    """arguments: of autoseg_predict."""

    arguments: tuple[str, ...]


@dataclass(frozen=True)
class PredictionAnswer:
    """peak_bytes: that the process held at most; of a GPU's memory where that computed."""

    peak_bytes: int


def predicted(arguments: tuple[str, ...]) -> PredictionAnswer:
    """Predict in a process of its own, which shows how it goes on. ChildError where that fails: it has said why."""
    request = PredictionRequest(arguments)
    return answer_of(PREDICT, request, PredictionAnswer, timeout_seconds=TIMEOUT_SECONDS, talks=True)


def answer(request: PredictionRequest) -> PredictionAnswer:
    """Predict in this process; an error ends it as it ends the command."""
    with contextlib.redirect_stdout(sys.stderr):
        code = predict.main(list(request.arguments))
    if code:
        sys.exit(code)
    return PredictionAnswer(_peak_bytes())


def _peak_bytes() -> int:
    from autoseg.memory import peak_memory_bytes

    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available() and torch.cuda.is_initialized():
            return int(torch.cuda.max_memory_reserved())
    return peak_memory_bytes()


def main() -> None:
    """Answer the request on standard input on standard output."""
    request = from_json(PredictionRequest, json.load(sys.stdin), "standard input")
    print(json.dumps(to_json(answer(request))))


if __name__ == "__main__":
    main()
