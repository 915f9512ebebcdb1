"""Rules do what their names say, and only those that pay are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autoseg.dataset import Labels
from autoseg.errors import FileError
from autoseg.geometry import Geometry
from autoseg.io import Volume, write_labels
from autoseg.postprocessing import (
    HeldOutCase,
    Rule,
    apply_rules,
    choice,
    choose_rules,
    chosen_rules,
    read_rules,
)
from autoseg.postprocessing.choice import VOLUME_FRACTIONS

LABELS = Labels({"liver": (1,), "tumour": (2,)})
SHAPE = (12, 12, 12)


def scene() -> np.ndarray:
    """A liver of 6x6x6 voxels and a tumour of 2x2x2 inside it."""
    labels = np.zeros(SHAPE, np.int16)
    labels[2:8, 2:8, 2:8] = 1
    labels[4:6, 4:6, 4:6] = 2
    return labels


REGIONS = Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2))


def test_rules_of_regions_are_chosen_where_they_pay(tmp_path: Path) -> None:
    predicted = scene()
    predicted[10, 10, 10] = 1
    held_out = HeldOutCase(tmp_path / "predicted.nii.gz", tmp_path / "true.nii.gz")
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    write_labels(held_out.prediction, Volume(predicted, geometry))
    write_labels(held_out.reference, Volume(scene(), geometry))
    assert choose_rules([held_out], REGIONS).rules == (Rule("largest_component"),)


def held_out(folder: Path, predictions: list[np.ndarray], **options: tuple[str, ...]) -> list[HeldOutCase]:
    cases = []
    geometry = Geometry(SHAPE, (2.0, 1.0, 1.0))
    for number, prediction in enumerate(predictions):
        predicted, reference = folder / f"p{number}.nii.gz", folder / f"r{number}.nii.gz"
        write_labels(predicted, Volume(prediction, geometry))
        write_labels(reference, Volume(scene(), geometry))
        cases.append(HeldOutCase(predicted, reference, **options))
    return cases


def test_a_rule_that_pays_is_kept_with_its_gain(tmp_path: Path) -> None:
    stray = scene()
    stray[10, 10, 8:11] = 2
    chosen = choose_rules(held_out(tmp_path, [stray, scene()]), LABELS)
    assert [kept.rule for kept in chosen.kept] == [Rule("largest_component")]
    tumour = (2 * 8 / (8 + 11) + 1) / 2
    assert chosen.kept[0].dice_before == pytest.approx((1 + tumour) / 2)
    assert chosen.kept[0].dice_after == 1
    assert chosen.cases == 2


def test_nothing_is_kept_where_nothing_rises(tmp_path: Path) -> None:
    assert choose_rules(held_out(tmp_path, [scene(), scene()]), LABELS).kept == ()


def test_a_rule_that_harms_one_class_is_dropped(tmp_path: Path) -> None:
    """One component of all foreground would mend the liver, raise the mean, and cost the tumour a voxel apart."""
    reference = scene()
    reference[11, 11, 11] = 2
    prediction = reference.copy()
    prediction[0:4, 9:12, 0:4] = 1
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    write_labels(tmp_path / "p.nii.gz", Volume(prediction, geometry))
    write_labels(tmp_path / "r.nii.gz", Volume(reference, geometry))
    chosen = choose_rules([HeldOutCase(tmp_path / "p.nii.gz", tmp_path / "r.nii.gz")], LABELS)
    assert chosen.rules == (Rule("largest_component", "liver"),)


def test_the_smallest_volume_comes_from_the_reference(tmp_path: Path) -> None:
    """Two livers apart: a largest component would lose one, a minimum volume removes only the speck."""
    two = np.zeros(SHAPE, np.int16)
    two[0:4, 0:4, 0:4] = two[8:12, 8:12, 8:12] = 1
    prediction = two.copy()
    prediction[0, 11, 11] = 1
    geometry = Geometry(SHAPE, (2.0, 1.0, 1.0))
    write_labels(tmp_path / "p.nii.gz", Volume(prediction, geometry))
    write_labels(tmp_path / "r.nii.gz", Volume(two, geometry))
    chosen = choose_rules([HeldOutCase(tmp_path / "p.nii.gz", tmp_path / "r.nii.gz")], LABELS)
    assert chosen.rules == (Rule("minimum_volume", "liver", 0.05 * 128),)


def test_classes_that_were_not_contoured_have_no_say(tmp_path: Path) -> None:
    stray = scene()
    stray[10, 10, 8:11] = 2
    assert choose_rules(held_out(tmp_path, [stray], not_contoured=("tumour",)), LABELS).kept == ()


def test_other_grids_are_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "p.nii.gz", Volume(scene(), Geometry(SHAPE, (1.0, 1.0, 1.0))))
    write_labels(tmp_path / "r.nii.gz", Volume(scene()[1:], Geometry((11, 12, 12), (1.0, 1.0, 1.0))))
    with pytest.raises(FileError, match="another grid"):
        choose_rules([HeldOutCase(tmp_path / "p.nii.gz", tmp_path / "r.nii.gz")], LABELS)


def plain_search(predictions: list[np.ndarray], references: list[np.ndarray], labels: Labels) -> list[Rule]:
    """Every rule applied to every case in turn, and every case counted anew."""

    def dice(maps: list[np.ndarray]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for prediction, reference in zip(maps, references, strict=True):
            known = reference != labels.ignore
            for name in labels.names:
                a, b = labels.mask(prediction, name) & known, labels.mask(reference, name)
                if a.any() or b.any():
                    found.setdefault(name, []).append(2 * (a & b).sum() / (a.sum() + b.sum()))
        return {name: float(np.mean(values)) for name, values in found.items()}

    def clean(maps: list[np.ndarray], rule: Rule) -> list[np.ndarray]:
        return [apply_rules(one, [rule], labels, 2.0) for one in maps]

    def smallest(name: str) -> float:
        parts = [ndimage.label(labels.mask(one, name), np.ones((3, 3, 3))) for one in references]
        return 2.0 * min((np.bincount(one.ravel())[1:].min() for one, count in parts if count), default=0)

    groups = [[Rule("largest_component")], *([Rule("largest_component", name)] for name in labels.names)]
    sizes = {name: smallest(name) for name in labels.names}
    groups += [[Rule("minimum_volume", n, f * size) for f in VOLUME_FRACTIONS] for n, size in sizes.items() if size]
    groups += [[Rule("fill_holes", name)] for name in labels.names]
    kept, before = [], dice(predictions)
    for group in groups:
        after = {rule: dice(clean(predictions, rule)) for rule in group}
        means = {rule: float(np.mean(list(found.values()))) for rule, found in after.items()}
        paying = [
            rule
            for rule in group
            if means[rule] > np.mean(list(before.values())) + 1e-5
            and all(after[rule].get(name, 1.0) >= value for name, value in before.items())
        ]
        if paying:
            best = max(paying, key=lambda rule: means[rule])
            kept.append(best)
            predictions, before = clean(predictions, best), after[best]
    return kept


THREE = Labels({"liver": (1,), "tumour": (2,), "vessel": (3,)}, ignore=4)
NESTED = Labels({"whole": (1, 2, 3), "core": (2, 3), "rim": (3,)}, region_values=(1, 2, 3))


@pytest.mark.parametrize("labels", [THREE, NESTED], ids=["exclusive", "regions"])
@pytest.mark.parametrize("seed", range(12))
def test_the_search_finds_what_a_plain_one_finds(labels: Labels, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    cases, predictions, references = [], [], []
    for number in range(2):
        noise = ndimage.gaussian_filter(rng.normal(size=(14, 14, 14)), 1.2)
        reference = np.digitize(noise, np.quantile(noise, [0.5, 0.75, 0.9])).astype(np.int16)
        predicted, wrong = reference.copy(), rng.random(reference.shape) < 0.04
        predicted[wrong] = rng.integers(0, 4, wrong.sum())
        if labels.ignore:
            reference[:2] = labels.ignore
        geometry = Geometry(reference.shape, (2.0, 1.0, 1.0))
        one = HeldOutCase(tmp_path / f"p{number}.nii.gz", tmp_path / f"r{number}.nii.gz")
        write_labels(one.prediction, Volume(predicted, geometry))
        write_labels(one.reference, Volume(reference, geometry))
        cases.append(one)
        predictions.append(predicted)
        references.append(reference)
    expected = plain_search(predictions, references, labels)
    for workers in (1, 3):
        assert list(choose_rules(cases, labels, workers=workers).rules) == expected


def test_every_step_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    cases = held_out(tmp_path, [scene(), scene()])
    choose_rules(cases, LABELS, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 9) for done in range(1, 10)]


def test_rules_are_chosen_anew_only_for_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stray = scene()
    stray[10, 10, 8:11] = 2
    cases, path = held_out(tmp_path, [stray, scene()]), tmp_path / "postprocessing.json"
    first = chosen_rules(path, cases, LABELS)
    assert first.rules == (Rule("largest_component"),)
    assert read_rules(path, LABELS) == first
    calls: list[int] = []
    search = choice.choose_rules
    monkeypatch.setattr(choice, "choose_rules", lambda *a, **named: calls.append(1) or search(*a, **named))
    assert chosen_rules(path, cases, LABELS) == first
    assert not calls
    write_labels(cases[0].prediction, Volume(scene(), Geometry(SHAPE, (2.0, 1.0, 1.0))))
    assert chosen_rules(path, cases, LABELS).rules == ()
    assert chosen_rules(path, cases[:1], LABELS).cases == 1
    path.write_text("{broken")
    assert chosen_rules(path, cases, LABELS).cases == 2
    assert len(calls) == 3
