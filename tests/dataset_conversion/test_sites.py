"""The sites: every spelling means one class of one site, and pairs are pairs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from autoseg.symmetry import name_pairs
from dataset_conversion.organ_names import SIDE_WORDS, organ_key
from dataset_conversion.organs import LIVER, SPLEEN
from dataset_conversion.sites import SITES, Site, Window

SIDED = [
    ("{side}_{name}", "left", "right"),
    ("{name}_{side}", "L", "R"),
    ("{name} {side}", "Lt", "Rt"),
    ("{side}{name}", "左", "右"),
    ("{name}{side}", "左", "右"),
    ("{side}{name}", "左侧", "右侧"),
    ("{name}({side})", "l", "r"),
    ("{side}{name}", "l", "r"),
    ("{name}{side}", "l", "r"),
    ("{side}{name}", "lt", "rt"),
    ("{name}{side}", "lt", "rt"),
]


@pytest.mark.parametrize("site", SITES.values(), ids=SITES)
def test_every_spelling_means_exactly_one_class(site: Site) -> None:
    for organ in site.organs:
        for spelling in organ.all_spellings:
            for text in (spelling, spelling.upper(), spelling.lower(), spelling.replace("_", " ")):
                if not organ.paired:
                    assert site.find(text) == organ.classes, text
                    continue
                assert site.find(text) == (), text
                for form, left, right in SIDED:
                    assert site.find(form.format(name=text, side=left)) == organ.classes[:1], (form, text)
                    assert site.find(form.format(name=text, side=right)) == organ.classes[1:], (form, text)


@pytest.mark.parametrize("site", SITES.values(), ids=SITES)
def test_names_in_autoseg_and_in_tg263_are_found(site: Site) -> None:
    for organ in site.organs:
        for name, tg263 in zip(organ.classes, organ.tg263_classes, strict=True):
            assert site.find(name) == site.find(tg263) == (name,)


@pytest.mark.parametrize("site", SITES.values(), ids=SITES)
def test_no_spelling_has_a_side_and_none_is_given_twice(site: Site) -> None:
    for organ in site.organs:
        assert not {word for text in organ.all_spellings for word in text.casefold().split("_")} & set(SIDE_WORDS)
    keys = [(organ.name, {organ_key(text) for text in organ.all_spellings}) for organ in site.organs]
    for (name, own), (other, others) in itertools.combinations(keys, 2):
        assert not own & others, (name, other)


@pytest.mark.parametrize("site", SITES.values(), ids=SITES)
def test_pairs_are_those_that_training_detects(site: Site) -> None:
    assert site.pairs == name_pairs(site.classes)
    assert [left.replace("_left", "_right") for left, _ in site.pairs] == [right for _, right in site.pairs]


PUBLIC = {
    "AMOS": ("abdomen", "spleen, right kidney, left kidney, gall bladder, esophagus, liver, stomach, arota, postcava,"
             "pancreas, right adrenal gland, left adrenal gland, duodenum"),
    "BTCV": ("abdomen", "spleen, right kidney, left kidney, gallbladder, esophagus, liver, stomach, aorta,"
             "inferior vena cava, portal vein and splenic vein, pancreas, right adrenal gland, left adrenal gland"),
    "WORD": ("pelvis", "colon, rectum, bladder, Head_of_femur_L, Head_of_femur_R"),
    "SegTHOR": ("thorax", "esophagus, heart, trachea, aorta"),
    "StructSeg thorax": ("thorax", "left lung, right lung, spinal cord, esophagus, heart, trachea"),
    "StructSeg head": ("head_neck", "Brain Stem, Eye L, Eye R, Lens L, Lens R, Opt Nerve L, Opt Nerve R, Opt Chiasm,"
                       "Temporal Lobes L, Temporal Lobes R, Pituitary, Parotid Gland L, Parotid Gland R, Inner Ear L,"
                       "Inner Ear R, Mid Ear L, Mid Ear R, TM Joint L, TM Joint R, Spinal Cord"),
    "PDDCA": ("head_neck", "BrainStem, Chiasm, Mandible, OpticNerve_L, OpticNerve_R, Parotid_L, Parotid_R,"
              "Submandibular_L, Submandibular_R"),
    "HaN-Seg": ("head_neck", "Bone_Mandible, Brainstem, Cavity_Oral, Cochlea_L, Cochlea_R, Glnd_Lacrimal_L,"
                "Glnd_Lacrimal_R, Glnd_Submand_L, Glnd_Submand_R, Glnd_Thyroid, OpticChiasm, OpticNrv_L, OpticNrv_R,"
                "Parotid_L, Parotid_R, Pituitary, SpinalCord"),
    "OpenKBP": ("head_neck", "Brainstem, SpinalCord, RightParotid, LeftParotid, Esophagus, Larynx, Mandible"),
    "TotalSegmentator": ("abdomen", "spleen, kidney_right, kidney_left, gallbladder, liver, stomach, pancreas,"
                         "adrenal_gland_right, adrenal_gland_left, esophagus, small_bowel, duodenum, colon, aorta,"
                         "inferior_vena_cava, portal_vein_and_splenic_vein, spinal_cord"),
    "TotalSegmentator head": ("head_neck", "eye_left, eye_right, eye_lens_left, eye_lens_right, optic_nerve_left,"
                              "optic_nerve_right, parotid_gland_left, parotid_gland_right, submandibular_gland_right,"
                              "submandibular_gland_left"),
}  # fmt: skip


@pytest.mark.parametrize("data_set", PUBLIC)
def test_the_names_of_public_data_sets(data_set: str) -> None:
    site, text = PUBLIC[data_set]
    names = [name.strip() for name in text.split(",")]
    found = [SITES[site].find(name) for name in names]
    assert [name for name, classes in zip(names, found, strict=True) if len(classes) != 1] == []
    assert len(set(found)) == len(names)
    for name, (organ,) in zip(names, found, strict=True):
        for side in ("left", "right"):
            named = side in name.lower() or name.endswith((f"_{side[0].upper()}", f" {side[0].upper()}"))
            assert organ.endswith(side) == named, name


def test_the_thesis_organs_are_there() -> None:
    expected = {
        "head_neck": "brainstem eye_left eye_right optic_nerve_left optic_nerve_right parotid_left parotid_right"
        " mandible",
        "thorax": "spinal_cord lung_left lung_right heart esophagus",
        "abdomen": "kidney_left kidney_right liver spinal_cord",
        "pelvis": "bladder femoral_head_left femoral_head_right small_bowel rectum spinal_cord",
    }
    assert {name: " ".join(SITES[name].classes[: len(text.split())]) for name, text in expected.items()} == expected


@pytest.mark.parametrize(
    ("site", "name"),
    [
        ("thorax", "Lungs"),
        ("thorax", "双肺"),
        ("thorax", "Heart_L"),
        ("thorax", "SpinalCord_PRV05"),
        ("thorax", "Lung_LLL"),
        ("thorax", "Lung~_L"),
        ("thorax", "_Lung_L"),
        ("thorax", "z_Lung_L"),
        ("thorax", "!Heart"),
        ("abdomen", "Kidney_R~"),
        ("head_neck", "Orbit-Lt"),
        ("head_neck", "lparotidr"),
        ("pelvis", "Femur_L"),
        ("abdomen", "Kidney_Cortex_L"),
        ("abdomen", "PTV"),
        ("abdomen", ""),
    ],
)
def test_what_is_not_certain_is_nothing(site: str, name: str) -> None:
    assert SITES[site].find(name) == ()


def test_a_name_of_both_sides_means_both() -> None:
    assert SITES["abdomen"].find("Kidney_L_R") == ("kidney_left", "kidney_right")


def test_two_organs_of_one_spelling_are_both_found() -> None:
    site = Site("two", (LIVER, replace(SPLEEN, spellings=("Liver",))), {})
    assert site.find("Liver") == ("liver", "spleen")


@pytest.mark.parametrize(
    ("site", "name", "near"),
    [
        ("thorax", "Oesaphagus", ("esophagus",)),
        ("thorax", "Lungs", ("lung_left", "lung_right")),
        ("thorax", "Lft Lung_L", ("lung_left",)),
        ("thorax", "Heart_L", ("heart",)),
        ("head_neck", "Parotis gl R", ("parotid_right",)),
        ("head_neck", "PTV_60", ()),
    ],
)
def test_names_that_are_near(site: str, name: str, near: tuple[str, ...]) -> None:
    assert SITES[site].near(name)[: len(near) or None] == near


def test_a_window() -> None:
    assert Window(50, 400).range_hu == (-150, 250)
