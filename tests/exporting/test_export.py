"""An exported folder against autoseg_predict: the same labels, without torch and without autoseg."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from autoseg import load_model
from autoseg.cli.export import main
from autoseg.compression.allocation import layer_widths
from autoseg.compression.channel_pruning import cut, strongest
from autoseg.compression.criteria import score_weights
from autoseg.compression.quantization import QuantizationOptions, bake, quantize
from autoseg.compression.shared_coupling import network_groups
from autoseg.compression.weights import convolution_weights
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_image
from autoseg.locating.experience import Experience, Offset, OrganExperience, write_experience
from autoseg.networks import build_network
from autoseg.networks.storage import load_network, save_network
from autoseg.plans import AirRule, ChannelPlan, IntensityStatistics, Plans, RegionPlan, read_plans, write_plans
from autoseg.postprocessing import KeptRule, Postprocessing, Rule, write_rules

WITHOUT_US = """
import runpy, sys
for name in ("torch", "autoseg", "safetensors"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SHAPE = (22, 17, 19)
LABELS = ("organ_left", "organ_right", "lesion")


def image(seed: int = 0) -> np.ndarray:
    """(1, z, y, x): smooth tissue in a border of exact zeros."""
    from scipy.ndimage import gaussian_filter

    values = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.5) * 6
    values[:2], values[:, -1:] = 0, 0
    return values[None].astype(np.float32)


def run(folder: Path, array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """What the example says of an image (C, z, y, x), in a process that has neither torch nor autoseg."""
    files = []
    for number, channel in enumerate(array):
        files.append(folder.parent / f"case_{number:04}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(channel.T, geometry.affine), files[-1])
    out = folder.parent / "labels.nii.gz"
    command = [sys.executable, "-c", WITHOUT_US, str(folder / "segment.py"), *map(str, files), "-o", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=folder.parent, env={"PATH": ""}
    )
    assert done.returncode == 0, done.stderr
    written = nibabel.load(out)
    np.testing.assert_allclose(written.affine, geometry.affine, atol=1e-5)
    return np.asarray(written.dataobj).T


def changed(folder: Path, **facts: object) -> Plans:
    plans = replace(read_plans(folder / "plans.json"), **facts)
    write_plans(folder / "plans.json", plans)
    return plans


def agreement(folder: Path, exported: Path, geometry: Geometry, array: np.ndarray, **options: object) -> float:
    """The share of voxels with the same label, where there are several labels."""
    model = load_model(folder, backend="torch", precision="fp32", device="cpu", **options)  # type: ignore[arg-type]
    expected = model.predict_volume(Volume(array, geometry)).array
    assert len(np.unique(expected)) > 2
    return float((run(exported, array, geometry) == expected).mean())


GEOMETRY = Geometry(SHAPE, (1.2, 1.6, 1.4), (3.0, -4.0, 5.0))


@pytest.mark.parametrize(
    ("configuration", "kind", "options"),
    [
        ("3d_fullres", "onnx", {"folds": ("0", "1")}),
        ("3d_fullres", "openvino", {"regions": True}),
        ("2d", "onnx", {}),
        ("3d_cascade", "openvino", {}),
    ],
    ids=["folds", "regions", "slices", "cascade"],
)
def test_labels_are_those_of_autoseg(
    configuration: str, kind: str, options: dict[str, object], write_model, tmp_path: Path
) -> None:
    folder, exported = tmp_path / f"model__{configuration}", tmp_path / "exported"
    write_model(folder, configuration=configuration, **options)
    assert main([str(folder), "--format", kind, "-o", str(exported)]) == 0
    assert agreement(folder, exported, GEOMETRY, image()) > 0.9999


def test_normalisation_air_flips_transposition_thick_slices_and_rules(write_model, tmp_path: Path) -> None:
    folder, exported = tmp_path / "model__3d_fullres", tmp_path / "exported"
    write_model(folder)
    plans = read_plans(folder / "plans.json")
    facts = replace(plans.channels[0].statistics, mean=0.3, std=1.7, percentile_00_5=-2.5, percentile_99_5=2.0)
    air = AirRule(0, 1.5, 0.5)
    changed(folder, channels=(ChannelPlan("CT", "ct", facts, masked=True),), transpose=(1, 0, 2), air=air)
    rules = (Rule("largest_component", "lesion"), Rule("fill_holes", "organ_left"), Rule("minimum_volume", None, 40.0))
    kept = tuple(KeptRule(rule, 0.5, 0.6) for rule in rules)
    write_rules(folder / "postprocessing.json", Postprocessing(kept, 3))
    thick = Geometry(SHAPE, (5.5, 1.6, 1.4), (3.0, -4.0, 5.0))
    assert main([str(folder), "--format", "openvino", "-o", str(exported), "--flips", "3", "--overlap", "0.3"]) == 0
    assert agreement(folder, exported, thick, image(), flips=3, overlap=0.3) > 0.9999


def make_smaller(folder: Path) -> None:
    """A quarter of the filters cut, and the weights that are left on 31 levels."""
    weights = folder / "fold_0" / "model.safetensors"
    network = load_network(weights)
    groups = network_groups(network)
    widths = layer_widths(groups, 0.25, granularity=1)
    pruned = cut(network, strongest(score_weights("magnitude", network, groups), widths))
    quantize(pruned.network, QuantizationOptions(31))
    save_network(weights, pruned.network, bake(pruned.network))
    stages = read_plans(folder / "plans.json").stages
    changed(folder, stages=stages | {"3d_fullres": replace(stages["3d_fullres"], network=pruned.spec)})


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_labels_of_a_compressed_model_are_those_of_autoseg(kind: str, write_model, tmp_path: Path) -> None:
    folder, exported = tmp_path / "model__3d_fullres", tmp_path / "exported"
    write_model(folder)
    make_smaller(folder)
    assert main([str(folder), "--format", kind, "-o", str(exported)]) == 0
    assert agreement(folder, exported, GEOMETRY, image()) > 0.9999


@pytest.mark.real_data
@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_labels_of_a_real_case_are_those_of_autoseg(kind: str, write_model, tmp_path: Path, test_data: Path) -> None:
    folder, exported = tmp_path / "model__3d_fullres", tmp_path / "exported"
    write_model(folder)
    make_smaller(folder)
    changed(folder, channels=(ChannelPlan("MR", "zscore", read_plans(folder / "plans.json").channels[0].statistics),))
    case = read_image([min((test_data / "Task04_Hippocampus" / "imagesTs").glob("hippocampus_*.nii.gz"))])
    assert main([str(folder), "--format", kind, "-o", str(exported)]) == 0
    assert agreement(folder, exported, case.geometry, case.array) > 0.9999


def write_two_stages(folder: Path, write_model, *, planned_mm: float, never: str | None) -> None:
    """Two folds of a locator, a pair that shares a network, and a lesion. never: the class that is not located."""
    threes, near = (3.0, 2.0, 2.5), Offset((1.0, -2.0, 3.0), (1.5, 2.0, 0.5), 5)
    write_model(folder)
    whole = read_plans(folder / "plans.json").stages["3d_fullres"]
    organ = replace(whole, network=replace(whole.network, out_channels=2), spacing_mm=(1.3, 1.4, 1.5))
    pair = RegionPlan(("organ_left", "organ_right"), (planned_mm,) * 3, threes)
    stages = {
        "locate": replace(whole, name="locate", spacing_mm=(2.0, 1.9, 1.8)),
        "organ_pair": replace(organ, name="organ_pair", region=pair),
        "organ_lesion": replace(organ, name="organ_lesion", region=RegionPlan(("lesion",), (20.0, 18.0, 16.0), threes)),
    }
    changed(
        folder,
        stages=stages,
        configurations={"3d_two_stage": tuple(stages)},
        transpose=(1, 0, 2),
        mirror_axes=(0, 2),
        left_right_axis=2,
        left_right_pairs=(("organ_left", "organ_right"),),
        channels=(ChannelPlan("MR", "zscore", IntensityStatistics(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0), masked=True),),
    )
    shutil.rmtree(folder / "fold_0")
    for fold in ("0", "1"):
        for number, (name, stage) in enumerate(stages.items()):
            torch.manual_seed(10 * number + int(fold))
            network = build_network(stage.network)
            if name == "locate" and never is not None:
                with torch.no_grad():
                    network.decoder.heads[0].bias[1 + LABELS.index(never)] = -100
            save_network(folder / "stages" / name / f"fold_{fold}" / "model.safetensors", network)
        found = {}
        for name in LABELS:
            offsets = {other: near for other in LABELS if other != name}
            found[name] = OrganExperience(threes, (1.0 + int(fold), 2.0, 2.0), (9.1, 8.3, 7.2), offsets, 5, 4, 4)
        write_experience(folder / f"fold_{fold}" / "organs.json", Experience(found))


@pytest.mark.parametrize(
    ("planned_mm", "never", "kind", "flips"),
    [(30.0, None, "onnx", "none"), (30.0, "lesion", "openvino", "all"), (4.1, "lesion", "openvino", "none")],
    ids=["located", "missed", "oversized"],
)
def test_organs_one_by_one(
    planned_mm: float, never: str | None, kind: str, flips: str, write_model, tmp_path: Path
) -> None:
    folder, exported = tmp_path / "model__3d_two_stage", tmp_path / "exported"
    write_two_stages(folder, write_model, planned_mm=planned_mm, never=never)
    rules = (KeptRule(Rule("largest_component", "organ_right"), 0.5, 0.6),) if flips == "none" else ()
    write_rules(folder / "postprocessing.json", Postprocessing(rules, 3))
    assert main([str(folder), "--format", kind, "-o", str(exported), "--flips", flips]) == 0
    assert (exported / "organs.py").exists()
    turned = Geometry(SHAPE, (1.2, 1.6, 1.4), (3.0, -4.0, 5.0), ((0, 1.0, 0), (0, 0, -1.0), (-1.0, 0, 0)))
    assert agreement(folder, exported, turned, image(), flips=flips) > 0.9999
    assert main([str(folder), "--format", kind, "-o", str(exported)]) == 0, "again, after it ran"


@pytest.mark.parametrize("scheme", ["zscore", "rescale", "clip"])
@pytest.mark.parametrize("masked", [False, True])
def test_every_normalisation(scheme: str, masked: bool) -> None:
    """The script's own function against autoseg's, without a process."""
    from autoseg.exporting.description import _channel
    from autoseg.exporting.segment import nonzero_mask, normalize
    from autoseg.files import to_json
    from autoseg.plans import IntensityStatistics
    from autoseg.preprocessing.normalization import normalized

    facts = IntensityStatistics(0.3, 0.0, 1.7, -9, 9, -2.5, 2.0)
    plan, array = ChannelPlan("MR", scheme, facts, masked, (-1.0, 2.0)), image()
    mask = nonzero_mask(array)
    expected = normalized(array[0], plan, mask)[:]
    np.testing.assert_allclose(normalize(array[0], to_json(_channel(plan)), mask), expected, atol=1e-6)


def test_zeros_and_levels_survive(write_model, tmp_path: Path) -> None:
    import onnx
    from onnx.numpy_helper import to_array

    from autoseg.inference.backends.openvino import imported

    folder = tmp_path / "model__3d_fullres"
    write_model(folder)
    weights = folder / "fold_0" / "model.safetensors"
    network = load_network(weights)
    with torch.no_grad():
        for weight in convolution_weights(network).values():
            weight[weight.abs() < 0.05] = 0
    quantize(network, QuantizationOptions(7, 0.45))
    save_network(weights, network, bake(network))
    expected = [_facts(weight.detach().numpy()) for weight in convolution_weights(load_network(weights)).values()]
    for kind in ("onnx", "openvino"):
        assert main([str(folder), "--format", kind, "-o", str(tmp_path / kind)]) == 0
    model = onnx.load(tmp_path / "onnx" / "networks" / "3d_fullres_fold_0.onnx")
    in_onnx = [to_array(one) for one in model.graph.initializer]
    network_file = tmp_path / "openvino" / "networks" / "3d_fullres_fold_0.xml"
    read = imported().Core().read_model(network_file)
    in_openvino = [one.get_data() for one in read.get_ops() if one.get_type_name() == "Constant"]
    for found in (in_onnx, in_openvino):
        assert {_facts(one) for one in found} >= set(expected)
    assert any(zeros for _, zeros, _ in expected)


def _facts(weight: np.ndarray) -> tuple[int, int, tuple[float, ...]]:
    return weight.size, int((weight == 0).sum()), tuple(np.unique(weight).tolist())


def test_the_description_says_what_the_plans_say(write_model, tmp_path: Path) -> None:
    folder, exported = tmp_path / "model__3d_cascade", tmp_path / "exported"
    plans = write_model(folder, configuration="3d_cascade")
    assert main([str(folder), "--format", "onnx", "-o", str(exported), "--flips", "none"]) == 0
    told = json.loads((exported / "model.json").read_text())
    stages = plans.configuration_stages("3d_cascade")
    assert [stage["name"] for stage in told["stages"]] == [stage.name for stage in stages]
    assert [tuple(stage["patch_size"]) for stage in told["stages"]] == [stage.patch_size for stage in stages]
    assert told["stages"][1]["previous_stage"] == stages[0].name
    assert told["stages"][0]["flips"] == [[]]
    assert told["classes"] == {"organ_left": [1], "organ_right": [2], "lesion": [3]}
    assert sorted(path.name for path in exported.iterdir()) == [
        "model.json", "networks", "requirements.txt", "segment.py",
    ]  # fmt: skip
    assert "onnxruntime" in (exported / "requirements.txt").read_text()
    assert main([str(folder), "--format", "onnx", "-o", str(exported)]) == 0, "again into the same folder"


def test_what_cannot_be_exported(write_model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model__3d_fullres"
    write_model(folder)
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("do not lose me")
    for arguments, words in (
        (["--format", "onnx", "-o", str(other)], "holds other things"),
        (["--format", "onnx", "-o", str(other / "thesis.txt")], "is a file"),
        (["--format", "onnx", "-o", str(folder)], "holds other things"),
        (["--format", "onnx", "--precision", "int8", "-o", str(tmp_path / "new")], "Networks in int8 are OpenVINO's"),
        (["--format", "openvino", "--precision", "int8", "-o", str(tmp_path / "new")], "no network in int8"),
        (["--format", "onnx", "--overlap", "1", "-o", str(tmp_path / "new")], "overlap must be"),
        (["--format", "onnx", "--folds", "3", "-o", str(tmp_path / "new")], "no finished network of fold 3"),
    ):
        assert main([str(folder), *arguments]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert (other / "thesis.txt").read_text() == "do not lose me"
