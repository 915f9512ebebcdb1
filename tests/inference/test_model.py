"""Model folders: what they must hold, how stages and folds are found, and volumes in and out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg import load_model
from autoseg.errors import FileError, OptionError
from autoseg.geometry import Geometry
from autoseg.inference.chain import Wanted, previous_labels_on_grid
from autoseg.inference.ensemble import Ensemble, decode_probabilities
from autoseg.inference.model import Model
from autoseg.inference.model_files import read_model_files
from autoseg.inference.windows import WindowPath
from autoseg.io import Volume
from autoseg.plans import AirRule, write_plans
from autoseg.postprocessing import KeptRule, Postprocessing, Rule, write_rules
from autoseg.preprocessing.case import prepare

QUICK = {"flips": "none", "precision": "fp32", "device": "cpu"}
GEOMETRY = Geometry((22, 17, 19), (1.2, 1.6, 1.4), (3.0, -4.0, 5.0))


@pytest.fixture
def volume() -> Volume:
    return Volume(np.random.default_rng(0).normal(size=(1, 22, 17, 19)).astype(np.float32), GEOMETRY)


@pytest.fixture
def folder(write_model, tmp_path: Path) -> Path:
    write_model(tmp_path / "standard__plans__3d_fullres", folds=("0", "1"))
    return tmp_path / "standard__plans__3d_fullres"


@pytest.fixture
def cascade(write_model, tmp_path: Path) -> Path:
    write_model(tmp_path / "cascade__plans__3d_cascade", configuration="3d_cascade", folds=("0", "1"))
    return tmp_path / "cascade__plans__3d_cascade"


def test_a_volume_comes_back_on_its_own_grid(folder: Path, volume: Volume) -> None:
    predicted = load_model(folder, **QUICK).predict_volume(volume)
    assert predicted.geometry == GEOMETRY
    assert predicted.array.dtype == np.int16
    assert len(np.unique(predicted.array)) > 1


def test_an_array_in_nibabels_order_gives_labels_in_nibabels_order(folder: Path, volume: Volume) -> None:
    model = load_model(folder, **QUICK)
    image = nibabel.Nifti1Image(volume.array[0].transpose(2, 1, 0), GEOMETRY.affine)
    expected = model.predict_volume(volume).array.transpose(2, 1, 0)
    np.testing.assert_array_equal(model.predict(image.get_fdata(), image.affine), expected)
    np.testing.assert_array_equal(model.predict(image.get_fdata()[None], image.affine), expected)


def test_a_folder_copied_elsewhere_predicts_the_same(folder: Path, volume: Volume, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    before = load_model(folder, **QUICK).predict_volume(volume).array
    shutil.rmtree(folder)
    after = load_model(tmp_path / "elsewhere" / folder.name, **QUICK).predict_volume(volume).array
    np.testing.assert_array_equal(before, after)


def test_every_finished_fold_is_averaged(folder: Path, volume: Volume) -> None:
    logits = {}
    for folds in ([0], ["1"], None):
        chain = load_model(folder, folds=folds, **QUICK).chain
        logits[str(folds)] = chain.predictors[0].logits(chain.prepare(volume).cases[0].image)
    np.testing.assert_allclose(logits["None"], (logits["[0]"] + logits["['1']"]) / 2, atol=1e-5)


def test_channels_are_counted(folder: Path) -> None:
    model = load_model(folder, **QUICK)
    with pytest.raises(OptionError, match=r"takes 1 channel\(s\) \(CT\), but the volume has 2"):
        model.predict_volume(Volume(np.zeros((2, *GEOMETRY.shape), np.float32), GEOMETRY))


def test_a_cascade_runs_through_the_volumes_own_grid(cascade: Path, volume: Volume) -> None:
    model = load_model(cascade, **QUICK)
    low, full = model.chain.predictors
    plans = model.files.plans
    case = prepare(volume, None, plans, low.stage, case_id="c")
    from autoseg.preprocessing.restore import restore_labels

    earlier = restore_labels(low.logits(case.image), case.record, model.labels)
    case = prepare(volume, Volume(earlier, GEOMETRY), plans, full.stage, case_id="c")
    np.testing.assert_array_equal(previous_labels_on_grid(Volume(earlier, GEOMETRY), case.record), case.labels)
    expected = restore_labels(full.logits(case.image, case.labels), case.record, model.labels)
    np.testing.assert_array_equal(model.predict_volume(volume).array, expected)


def test_progress_runs_from_nothing_to_one(cascade: Path, volume: Volume) -> None:
    told: list[float] = []
    load_model(cascade, **QUICK).predict_volume(volume, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    assert 0.5 in told


def test_the_folds_of_earlier_stages_are_those_asked_for(cascade: Path) -> None:
    assert [len(paths) for paths in read_model_files(cascade).weights] == [2, 2]
    chosen = read_model_files(cascade, folds=[1]).weights
    assert [path.parent.name for paths in chosen for path in paths] == ["fold_1", "fold_1"]
    shutil.rmtree(cascade / "stages" / "3d_lowres" / "fold_1")
    with pytest.raises(FileError, match="no finished network of fold 1 of the stage 3d_lowres"):
        read_model_files(cascade, folds=[1])
    assert [len(paths) for paths in read_model_files(cascade).weights] == [1, 2]


def test_a_network_of_all_cases_may_stand_on_the_folds(cascade: Path) -> None:
    shutil.copytree(cascade / "fold_0", cascade / "fold_all")
    weights = read_model_files(cascade, folds=["all"]).weights
    assert [path.parent.name for path in weights[0]] == ["fold_0", "fold_1"]
    assert [path.parent.name for path in weights[1]] == ["fold_all"]


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_a_folder_without_its_descriptions_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileError, match=f"no model folder: it has no {name}"):
        load_model(folder)


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"no finished network of fold 3 .*finished: 0, 1.*autoseg_train .* --folds 3"):
        load_model(folder, folds=[3])
    for fold in ("fold_0", "fold_1"):
        shutil.rmtree(folder / fold)
    with pytest.raises(FileError, match=r"no finished network of any fold.*autoseg_train"):
        load_model(folder)


def test_a_renamed_folder_needs_a_configuration(folder: Path) -> None:
    renamed = folder.rename(folder.with_name("mine"))
    with pytest.raises(FileError, match="does not end with a configuration of its plans"):
        read_model_files(renamed)
    assert read_model_files(renamed, configuration="3d_fullres").configuration == "3d_fullres"


def test_a_damaged_network_is_named(folder: Path) -> None:
    path = folder / "fold_0" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match=r"fold_0/model\.safetensors"):
        load_model(folder, **QUICK)


def test_postprocessing_is_applied_unless_it_is_turned_off(folder: Path, volume: Volume) -> None:
    rules = Postprocessing((KeptRule(Rule("minimum_volume", "lesion", 1e9), 0.1, 0.2),))
    plain = load_model(folder, **QUICK).predict_volume(volume).array
    assert (plain == 3).any()
    write_rules(folder / "postprocessing.json", rules)
    assert not (load_model(folder, **QUICK).predict_volume(volume).array == 3).any()
    off = load_model(folder, postprocessing=False, **QUICK).predict_volume(volume).array
    np.testing.assert_array_equal(off, plain)


def test_an_ensemble_averages_probabilities(folder: Path, write_model, tmp_path: Path, volume: Volume) -> None:
    other = tmp_path / "other__plans__2d"
    write_model(other, configuration="2d", seed=3)
    models = [load_model(path, **QUICK) for path in (folder, other)]
    wanted = Wanted(labels=False, probabilities=True)
    single = [model.chain.run(model.chain.prepare(volume), wanted).probabilities for model in models]
    prediction = Ensemble(models).predict(volume, keep_probabilities=True)
    assert prediction.probabilities is not None
    np.testing.assert_allclose(prediction.probabilities.array, (single[0] + single[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(prediction.probabilities.array.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(prediction.labels.array, (single[0] + single[1]).argmax(0))


def test_regions_are_painted(write_model, tmp_path: Path, volume: Volume) -> None:
    write_model(tmp_path / "r__plans__3d_fullres", regions=True)
    model: Model = load_model(tmp_path / "r__plans__3d_fullres", **QUICK)
    alone = Ensemble([model]).predict(volume, keep_probabilities=True)
    assert alone.probabilities is not None
    expected = decode_probabilities(alone.probabilities.array, model.labels)
    assert (alone.labels.array == expected).mean() > 0.9999
    assert set(np.unique(expected)) <= {0, 1, 2, 3}


def test_models_of_different_datasets_make_no_ensemble(folder: Path, write_model, tmp_path: Path) -> None:
    write_model(tmp_path / "r__plans__3d_fullres", regions=True)
    models = [load_model(path, **QUICK) for path in (folder, tmp_path / "r__plans__3d_fullres")]
    with pytest.raises(OptionError, match="differ in their labels or channels"):
        Ensemble(models)


def test_windows_of_air_are_background_and_tissue_is_as_without(write_model, tmp_path: Path) -> None:
    plans = write_model(tmp_path / "m__plans__3d_fullres")
    array = np.full((1, 48, 40, 44), -1000, np.int16)
    array[:, :20, :18, :20] = np.random.default_rng(0).integers(-100, 100, (20, 18, 20))
    volume = Volume(array, Geometry((48, 40, 44), (1.5, 1.4, 1.6)))
    everywhere = load_model(tmp_path / "m__plans__3d_fullres", **QUICK)
    write_plans(tmp_path / "m__plans__3d_fullres" / "plans.json", replace(plans, air=AirRule(0, -500.0, 6.0)))
    model = load_model(tmp_path / "m__plans__3d_fullres", **QUICK)
    calls, engines = [], model.chain.predictors[0].engines
    engines[0] = lambda batch, engine=engines[0]: (calls.append(1), engine(batch))[1]
    wanted = Wanted(probabilities=True)
    full, left_out = (one.chain.run(one.chain.prepare(volume), wanted) for one in (everywhere, model))
    assert full.labels is not None
    assert left_out.labels is not None
    np.testing.assert_array_equal(left_out.labels[:22, :20, :22], full.labels[:22, :20, :22])
    assert (full.labels[44:, 36:, 40:] > 0).any()
    assert left_out.labels[44:, 36:, 40:].max() == 0
    assert left_out.probabilities is not None
    assert left_out.probabilities[0, -1, -1, -1] > 0.999
    assert 0 < 2 * len(calls) < len(WindowPath.over((48, 37, 47), model.chain.predictors[0].windows, (0, 1, 2)))
