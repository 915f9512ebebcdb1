"""The estimate of a prediction's memory: against a measured process, and what is done where it does not fit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from autoseg import load_model
from autoseg.errors import OptionError, ResourceError
from autoseg.geometry import Geometry
from autoseg.inference.backends import installed_backends
from autoseg.inference.backends.choice import Choice
from autoseg.inference.batches import logits_bytes, pass_bytes
from autoseg.inference.chain import Wanted
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.limit import Limit, limit_for_cases
from autoseg.inference.memory import Source, case_bytes, kept_bytes, written_bytes
from autoseg.inference.model import Model
from autoseg.inference.predictor import PredictionOptions
from autoseg.io import Volume

QUICK = {"flips": "none", "precision": "fp32", "device": "cpu"}
MEBIBYTE = 1 << 20

CHILD = """
import ast
import sys
import numpy as np
import torch
from autoseg.geometry import Geometry
from autoseg.inference.chain import Chain, Wanted
from autoseg.inference.backends.choice import Choice
from autoseg.inference.limit import Limit
from autoseg.inference.memory import Source
from autoseg.inference.predictor import PredictionOptions, StagePredictor
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.networks import build_network
from autoseg.plans import *

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

(shape, spacing_mm, patch, classes, probabilities, in_file), backend, count, cases = ast.literal_eval(sys.argv[1])
torch.set_num_threads(1)
levels = (LevelSpec((1,) * 3, (3,) * 3, (8,), (), 8, (8,)), LevelSpec((2,) * 3, (3,) * 3, (16,)))
stage = StagePlan("s", (1.5,) * 3, (80.0,) * 3, (patch,) * 3, 2, NetworkSpec("unet", 3, 1, classes, levels), False)
channels = (ChannelPlan("CT", "none", IntensityStatistics(0, 0, 1, 0, 1, 0, 1)),)
plans = Plans("p", "d", "D", "", Target("cpu", 1), (0, 1, 2), channels, {"s": stage}, {"s": ("s",)}, ())
labels = Labels({f"c{value}": (value,) for value in range(1, classes)})
options = PredictionOptions(precision="fp32", device="cpu", batch_size=1)
networks = (build_network(stage.network) for _ in range(count))
predictor = StagePredictor(networks, plans, stage, labels, options, choice=Choice(backend, "fp32", "for this test"))
chain = Chain([predictor], plans, labels)
limit = Limit.now(None, [chain])
wanted = Wanted(probabilities=probabilities, in_file=in_file)
z = np.arange(shape[0], dtype=np.int16).reshape(-1, 1, 1)
for _ in range(cases):
    volume = Volume(np.array(np.broadcast_to(z % 50 + 1, shape))[None], Geometry(shape, spacing_mm))
    source = Source.of(volume)
    prepared = chain.prepare(volume)
    del volume
    chain.run(prepared, wanted)
    del prepared
print(limit.peak_bytes([chain], source, wanted, cleans=False), peak(), limit.base_bytes)
"""


@pytest.fixture
def model(write_model, tmp_path: Path) -> Model:
    write_model(tmp_path / "m__plans__3d_fullres")
    return load_model(tmp_path / "m__plans__3d_fullres", **QUICK)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("case", "margin"),
    [
        (((50, 200, 200), (1.5, 0.6, 0.6), 32, 12, True, False), 0.5),
        (((70, 70, 70), (1.5, 1.5, 1.5), 56, 80, False, True), 0.5),
    ],
    ids=["probabilities", "many classes, in a file"],
)
def test_the_estimate_holds_for_a_process(case: object, margin: float) -> None:
    """The process never takes more, and at most the margin less; small cases are mostly libraries."""
    estimate, measured, base = peak_in_a_process(case, "torch", 1, 1)
    assert measured <= estimate
    assert measured - base >= (1 - margin) * (estimate - base)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_estimate_holds_for_engines_that_keep_their_memory(backend: str) -> None:
    """Three networks and two cases: what each engine keeps is there at once, and does not grow."""
    if backend not in installed_backends():
        pytest.skip(f"{backend} is not installed")
    estimate, measured, _ = peak_in_a_process(((120, 112, 112), (1.5, 1.5, 1.5), 112, 2, False, False), backend, 3, 2)
    assert measured <= estimate


def peak_in_a_process(case: object, backend: str, networks: int, cases: int) -> tuple[int, ...]:
    """Bytes: the estimate, the peak, and what the process held before, with what its engines keep."""
    asked = repr((case, backend, networks, cases))
    done = subprocess.run([sys.executable, "-c", CHILD, asked], check=True, capture_output=True, text=True)
    return tuple(int(part) for part in done.stdout.split())


def test_what_engines_keep_counts_until_they_hold_it(model: Model) -> None:
    (predictor,) = model.chain.predictors
    stage, batch_size = predictor.stage, predictor.windows.batch_size
    network = pass_bytes(stage, 1, several=False) + logits_bytes(stage, batch_size, several=False)
    assert kept_bytes([model.chain]) == 0
    predictor.choice = Choice("openvino", "fp32", "keeps its memory")
    predictor.engines *= 3
    assert kept_bytes([model.chain]) == 3 * network
    free = Limit.now(None, [model.chain], held_bytes=psutil.Process().memory_info().rss)
    assert 3 * network <= free.base_bytes < 3 * network + 50 * MEBIBYTE
    model.predict_volume(small_volume())
    assert kept_bytes([model.chain]) == 0


def small_volume() -> Volume:
    image = np.random.default_rng(0).normal(size=(1, 30, 20, 20)).astype(np.float32)
    return Volume(image, Geometry((30, 20, 20), (1.5,) * 3))


def source(*shape: int) -> Source:
    return Source((shape[0], shape[1], shape[2]), (1.5, 1.5, 1.5), 2)


def test_sums_go_to_a_file_only_where_memory_is_short(model: Model) -> None:
    large = source(800, 512, 512)
    whole, in_file = (Limit(1, 0).peak_bytes([model.chain], large, Wanted(in_file=f), cleans=False) for f in (0, 1))
    assert in_file < whole
    for limit, expected in ((whole, False), (whole - 1, True), (in_file, True)):
        assert Limit(limit, 0).wanted([model.chain], large, Wanted(), cleans=False).in_file == expected
    with pytest.raises(ResourceError, match=r"800 x 512 x 512 voxels takes .*G, more than --memory .*Give at least"):
        Limit(in_file - 1, 0).wanted([model.chain], large, Wanted(), cleans=False)


def test_a_refusal_names_what_would_fit(model: Model) -> None:
    large = source(400, 512, 512)
    with pytest.raises(ResourceError, match="--save-probabilities left out"):
        Limit(2 << 30, 0).wanted([model.chain], large, Wanted(probabilities=True), cleans=False)
    with pytest.raises(ResourceError, match="or: --no-postprocessing"):
        Limit(1000 * MEBIBYTE, 0).wanted([model.chain], replace(large, spacing_mm=(0.5,) * 3), Wanted(), cleans=True)
    with pytest.raises(ResourceError, match="one configuration alone"):
        Limit(3 << 30, 0).wanted([model.chain] * 2, large, Wanted(False, True), cleans=False)


def test_volumes_are_read_ahead_where_there_is_room(model: Model) -> None:
    sources = {"small": source(10, 10, 10), "large": source(800, 512, 512)}
    alone = Limit(0, 0).peak_bytes([model.chain], sources["large"], Wanted(in_file=True), cleans=False)
    for limit, waiting in ((alone, 0), (4 * alone, 1), (None, 1)):
        found = limit_for_cases([model.chain], sources, Wanted(), Limit(limit, 0, waiting=1), cleans=False)
        assert found.waiting == waiting
        assert (found.flight_bytes > 0) == (waiting > 0)
    with pytest.raises(ResourceError, match=r"^large: Predicting 800 x"):
        limit_for_cases([model.chain], sources, Wanted(), Limit(alone - 1, 0), cleans=False)


def test_a_small_case_counts_the_large_one_that_waits(model: Model) -> None:
    sources = {"small": source(10, 10, 10), "large": source(800, 512, 512)}
    chains, large = [model.chain], sources["large"]
    found = limit_for_cases(chains, sources, Wanted(), Limit(None, 0, waiting=1), cleans=False)
    peaks = [limit.peak_bytes(chains, sources["small"], Wanted(), cleans=False) for limit in (found, Limit(None, 0))]
    assert peaks[0] - peaks[1] == large.bytes + written_bytes(chains, large, Wanted())


@pytest.fixture
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files lie in memory, of which nothing is free."""
    disk = SimpleNamespace(mountpoint=Path.cwd().anchor, fstype="tmpfs")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [disk])
    monkeypatch.setattr("autoseg.inference.limit._resident_bytes", lambda: 0)
    monkeypatch.setattr("autoseg.inference.limit.available_memory_bytes", lambda: 0)


def test_a_limit_that_needs_a_file_is_refused_where_there_is_no_room_for_it(model: Model, no_disk: None) -> None:
    large = source(800, 512, 512)
    between = Limit(1, 0).peak_bytes([model.chain], large, Wanted(in_file=True), cleans=False)
    with pytest.raises(ResourceError, match=r"^case: Logits need .* lies in memory itself.* at least --memory"):
        limit_for_cases([model.chain], {"case": large}, Wanted(), Limit(between, 0), cleans=False)


def test_without_a_limit_sums_stay_in_memory_where_there_is_no_room_for_a_file(write_model, tmp_path, no_disk) -> None:
    write_model(tmp_path / "m__plans__3d_fullres")
    plenty = load_model(tmp_path / "m__plans__3d_fullres", memory_bytes=8 << 30, **QUICK)
    free = load_model(tmp_path / "m__plans__3d_fullres", **QUICK)
    np.testing.assert_array_equal(
        free.predict_volume(small_volume()).array, plenty.predict_volume(small_volume()).array
    )


def test_without_a_limit_what_is_held_and_free_is_one(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg.inference.limit._resident_bytes", lambda: 1 << 40)
    monkeypatch.setattr("autoseg.inference.limit.available_memory_bytes", lambda: 1 << 40)
    for base, in_file in ((1 << 40, False), (2 << 40, True)):
        asked = Limit(None, base).wanted([model.chain], source(100, 100, 100), Wanted(), cleans=False)
        assert asked.in_file == in_file


def test_probabilities_and_ensembles_take_what_they_hold(model: Model) -> None:
    large, chains = source(400, 512, 512), [model.chain]
    kept = 4 * model.labels.output_count * large.voxels
    labels = case_bytes(chains, large, Wanted(), cleans=False)
    assert labels < kept < case_bytes(chains, large, Wanted(probabilities=True), cleans=False) < labels + kept
    assert case_bytes(chains * 2, large, Wanted(False, True), cleans=False) > 2 * kept


def test_a_model_keeps_to_its_memory_or_refuses(write_model, tmp_path: Path) -> None:
    write_model(tmp_path / "m__plans__3d_fullres")
    volume = small_volume()
    free = load_model(tmp_path / "m__plans__3d_fullres", **QUICK).predict_volume(volume).array
    small = load_model(tmp_path / "m__plans__3d_fullres", memory_bytes=8 << 30, **QUICK)
    np.testing.assert_array_equal(small.predict_volume(volume).array, free)
    refused = load_model(tmp_path / "m__plans__3d_fullres", memory_bytes=MEBIBYTE, **QUICK)
    for predict in (refused.predict_volume, Ensemble([refused]).predict):
        with pytest.raises(ResourceError, match="more than --memory"):
            predict(volume)
    with pytest.raises(OptionError, match="must be positive"):
        PredictionOptions(memory_bytes=0)


def test_labels_are_the_same_with_sums_in_a_file(write_model, tmp_path: Path) -> None:
    for configuration in ("3d_fullres", "2d", "3d_cascade"):
        folder = tmp_path / f"m__plans__{configuration}"
        write_model(folder, configuration=configuration, folds=("0", "1"), regions=configuration == "2d")
        chain = load_model(folder, **(QUICK | {"flips": 1})).chain
        image = np.random.default_rng(1).normal(size=(1, 30, 16, 17)).astype(np.float32)
        prepared = chain.prepare(Volume(image, Geometry((30, 16, 17), (1.5, 1.3, 1.7))))
        wanted = Wanted(probabilities=True)
        held, filed = (chain.run(prepared, replace(wanted, in_file=choice)) for choice in (False, True))
        for one, other in ((held.labels, filed.labels), (held.probabilities, filed.probabilities)):
            np.testing.assert_array_equal(one, other)
