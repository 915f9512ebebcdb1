from __future__ import annotations

import sys

import pytest
import torch

from autoseg.errors import OptionError
from autoseg.networks.cost import LayerShape
from autoseg.runtime import autocast, choose_precision, precision
from autoseg.runtime.bf16_probe import ProbeAnswer, ProbeRequest, answer, layer_error
from autoseg.runtime.precision import precision_after, probe_request, run_probe
from autoseg.runtime.speed import probe_spec

PATCH, BATCH = (16, 16, 16), 1
HEALTHY = LayerShape(False, 2, 4, 8, edges=(4, 6, 8), kernel=(3, 3, 3), stride=(2, 2, 2), bias=False)


def layer(*, in_width: int, edges: tuple[int, ...], stride: tuple[int, ...]) -> LayerShape:
    return LayerShape(False, 1, in_width, 16, edges=edges, kernel=(3, 3, 3), stride=stride, bias=False)


# The shapes that torch 2.13 with oneDNN 3.12 computes wrongly, or dies of, where bf16 is in hardware.
KNOWN_BAD = {
    "last edge becomes 1": layer(in_width=16, edges=(8, 8, 2), stride=(2, 2, 2)),
    "first edge is 1": layer(in_width=12, edges=(1, 8, 8), stride=(1, 1, 1)),
}


@pytest.mark.parametrize("shape", KNOWN_BAD.values(), ids=KNOWN_BAD)
def test_probe_survives_the_known_bad_shapes(shape: LayerShape) -> None:
    found = run_probe(ProbeRequest((shape,), threads=1))
    assert found is None or len(found.errors) == 1
    wrong = found is None or found.errors[0] is None or found.errors[0] > precision.WORST_ERROR
    if not precision.has_bf16_instructions():
        assert not wrong, "emulated bf16 is slow but right"


ENDED = "import os, signal; os.kill(os.getpid(), signal.{})"


@pytest.mark.parametrize(
    ("child", "is_remembered"),
    [
        (ENDED.format("SIGSEGV"), True),
        (ENDED.format("SIGKILL"), False),
        ("raise SystemExit(1)", False),
        ("print('nonsense')", False),
        ("print('{}')", False),
        ("import time; time.sleep(60)", False),
    ],
)
def test_a_child_that_fails_means_fp32_and_is_asked_again_by_the_next_command_unless_it_crashed(
    child: str, is_remembered: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    asked = []

    def probe(request: ProbeRequest) -> ProbeAnswer | None:
        asked.append(request)
        return run_probe(request, (sys.executable, "-S", "-c", child))

    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(precision, "PROBE_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(precision, "has_bf16_instructions", lambda: True)
    monkeypatch.setattr(precision, "run_probe", probe)
    monkeypatch.setattr(precision, "_unanswered", set())
    assert [choose_precision(probe_spec(), PATCH, BATCH, device="cpu") for _ in range(2)] == ["fp32"] * 2
    assert len(asked) == 1
    precision._unanswered.clear()  # as in another process
    assert choose_precision(probe_spec(), PATCH, BATCH, device="cpu") == "fp32"
    assert len(asked) == (1 if is_remembered else 2)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        (None, "fp32"),
        (ProbeAnswer((0.003, None), (2.0, 1.0)), "fp32"),
        (ProbeAnswer((0.003, 0.06), (2.0, 1.0)), "fp32"),
        (ProbeAnswer((0.003, 0.004), (2.0, 1.99)), "fp32"),
        (ProbeAnswer((0.003, 0.004), (2.0, 1.0)), "bf16"),
    ],
)
def test_bf16_only_where_right_and_faster(found: ProbeAnswer | None, chosen: str) -> None:
    assert precision_after(found) == chosen


def test_layers_are_tried_in_every_form() -> None:
    transposed = LayerShape(True, 1, 8, 4, edges=(4, 4), kernel=(2, 2), stride=(2, 2), bias=True)
    for shape in (HEALTHY, transposed):
        error = layer_error(shape)
        assert error is not None
        assert 1e-4 < error < precision.WORST_ERROR


def test_probe_also_times_a_step() -> None:
    before = torch.get_num_threads()
    found = answer(ProbeRequest((), before, probe_spec(), (8, 8, 8), BATCH))
    assert len(found.seconds) == 2
    assert min(found.seconds) > 0


def test_request_names_each_layer_once_with_edges_cut() -> None:
    request = probe_request(probe_spec(), (128, 64, 64), 2)
    assert len(set(request.layers)) == len(request.layers) > 10
    assert max(edge for shape in request.layers for edge in shape.edges) == 64
    assert request.patch_size == (64, 64, 64)


@pytest.mark.parametrize(
    ("told", "has_bf16", "has_int8"),
    [
        ("flags : avx512f avx512_vnni", False, True),
        ("flags : avx_vnni", False, True),
        ("flags : amx_bf16 amx_int8", True, True),
        ("flags : avx2 fma", False, False),
    ],
)
def test_instructions_are_those_that_the_system_tells(
    told: str, has_bf16: bool, has_int8: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathlib.Path.read_text", lambda *path, **options: told)
    assert (precision.has_bf16_instructions(), precision.has_int8_instructions()) == (has_bf16, has_int8)


def test_cpu_without_bf16_takes_fp32_unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16_instructions", lambda: False)
    monkeypatch.setattr(precision, "run_probe", lambda request: pytest.fail("was probed"))
    assert choose_precision(probe_spec(), PATCH, BATCH, device="cpu") == "fp32"


def test_probe_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    asked = []

    def probe(request: ProbeRequest) -> ProbeAnswer:
        asked.append(request)
        return ProbeAnswer((0.003,), (2.0, 1.0))

    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(precision, "has_bf16_instructions", lambda: True)
    monkeypatch.setattr(precision, "run_probe", probe)
    chosen = [choose_precision(probe_spec(), PATCH, batch, device="cpu") for batch in (1, 1, 2)]
    assert chosen == ["bf16"] * 3
    assert [request.batch_size for request in asked] == [1, 2]


@pytest.mark.parametrize(("supported", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_gpu_takes_bf16_where_it_has_it(monkeypatch: pytest.MonkeyPatch, supported: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert choose_precision(probe_spec(), PATCH, BATCH, device="cuda") == chosen


def test_what_is_wanted_is_taken_or_refused() -> None:
    assert choose_precision(probe_spec(), PATCH, BATCH, device="cpu", wanted="bf16") == "bf16"
    with pytest.raises(OptionError, match="fp16 on a CPU"):
        choose_precision(probe_spec(), PATCH, BATCH, device="cpu", wanted="fp16")
    with pytest.raises(OptionError, match=r"no precision 'fp8'.*auto, fp32, bf16, fp16"):
        choose_precision(probe_spec(), PATCH, BATCH, device="cpu", wanted="fp8")


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_sets_the_type_of_products(name: str, dtype: torch.dtype) -> None:
    with autocast(name, "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
