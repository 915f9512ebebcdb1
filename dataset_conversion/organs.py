"""The organs: what they are called in clinical data, and how large they are.

Names come from AAPM TG-263 (Mayo 2018) and from public data sets: TotalSegmentator, AMOS, BTCV, WORD, SegTHOR,
StructSeg, HaN-Seg, PDDCA, OpenKBP and the scans of Nikolov (2018). Sides are not part of a spelling: `organ_names`
reads them. A spelling must be certain: Orbit_L (an eyeball to some, a bony cavity to TG-263) and Femur_L (the whole
bone) are nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

ICRP = "ICRP 89 (2002), reference woman and man, 40 % less and more"
OPENKBP = "OpenKBP (Babier 2021), 5th to 95th percentile of 55 to 60 patients"


@dataclass(frozen=True)
class VolumeRange:
    """What an adult's organ measures, in mL; of one of a pair. source: where that comes from."""

    low_ml: float
    high_ml: float
    source: str


@dataclass(frozen=True)
class Organ:
    """An organ, or a pair of organs.

    name: in autoseg, without a side. tg263: in TG-263, without a side. spellings, chinese: other names. paired: it has
    a left and a right one. volume: where it is known; the phantom keeps to it.
    """

    name: str
    tg263: str
    spellings: tuple[str, ...] = ()
    chinese: tuple[str, ...] = ()
    paired: bool = False
    volume: VolumeRange | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes: ("parotid_left", "parotid_right"), ("liver",)."""
        return (f"{self.name}_left", f"{self.name}_right") if self.paired else (self.name,)

    @property
    def tg263_classes(self) -> tuple[str, ...]:
        """Its names in TG-263, in the order of `classes`."""
        return (f"{self.tg263}_L", f"{self.tg263}_R") if self.paired else (self.tg263,)

    @property
    def all_spellings(self) -> tuple[str, ...]:
        """Every way to write it, without a side."""
        return (self.name, self.tg263, *self.spellings, *self.chinese)


def _icrp(woman_g: float, man_g: float, density: float = 1.05) -> VolumeRange:
    """density: g/mL. ICRP 89 gives the masses of a reference woman and man, not how far people differ from them."""
    return VolumeRange(round(0.6 * woman_g / density, 1), round(1.4 * man_g / density, 1), ICRP)


# The head and the neck.
BRAINSTEM = Organ(
    "brainstem",
    "Brainstem",
    ("Brain Stem", "Brainst", "BStem", "Truncus cerebri"),
    ("脑干", "腦幹"),
    volume=VolumeRange(20.0, 34.6, OPENKBP),
)
BRAIN = Organ("brain", "Brain", ("Whole Brain",), ("脑", "全脑", "腦"))
EYE = Organ(
    "eye",
    "Eye",
    ("Eyes", "Eyeball", "Eye Ball", "Globe", "Eye Globe", "Bulbus oculi"),
    ("眼", "眼球", "眼睛"),
    paired=True,
    volume=_icrp(7.5, 7.5, 1.02),
)
LENS = Organ("lens", "Lens", ("Eye Lens", "Lens Eye"), ("晶体", "晶状体", "眼晶体", "晶體"), paired=True)
OPTIC_NERVE = Organ(
    "optic_nerve",
    "OpticNrv",
    ("Optic Nrv", "Opt Nerve", "Opt Nrv", "Optic N", "N Opticus", "Nrv Optic", "Nerve Optic", "OptNerv", "OPN", "ON"),
    ("视神经", "視神經"),
    paired=True,
    volume=VolumeRange(0.21, 0.97, "Du (2019), women's mean less 2 SD, to Nikolov (2018), largest of 3 scans"),
)
OPTIC_CHIASM = Organ(
    "optic_chiasm", "OpticChiasm", ("Chiasm", "Opt Chiasm", "Chiasma", "Optic Chiasma"), ("视交叉", "視交叉")
)
PITUITARY = Organ("pituitary", "Pituitary", ("Pituitary Gland", "Hypophysis", "Glnd Pituitary"), ("垂体", "腦下垂體"))
COCHLEA = Organ("cochlea", "Cochlea", (), ("耳蜗", "耳蝸"), paired=True)
INNER_EAR = Organ("inner_ear", "Ear_Internal", ("Ear Inner", "InnerEar", "Internal Ear"), ("内耳", "內耳"), paired=True)
MIDDLE_EAR = Organ("middle_ear", "Ear_Middle", ("Mid Ear", "Ear Mid"), ("中耳",), paired=True)
TEMPORAL_LOBE = Organ("temporal_lobe", "Lobe_Temporal", ("Temporal Lobes", "Temp Lobe"), ("颞叶", "顳葉"), paired=True)
LACRIMAL_GLAND = Organ(
    "lacrimal_gland", "Glnd_Lacrimal", ("Lacrimal", "Gland Lacrimal", "Lacrimal Glnd"), ("泪腺", "淚腺"), paired=True
)
PAROTID = Organ(
    "parotid",
    "Parotid",
    ("Parotid Gland", "Parotid Glnd", "Gland Parotid", "Glnd Parotid", "Parotis", "Parotids"),
    ("腮腺",),
    paired=True,
    volume=VolumeRange(14.5, 48.8, OPENKBP),
)
SUBMANDIBULAR = Organ(
    "submandibular",
    "Glnd_Submand",
    (
        "Submandibular Gland",
        "Submandibular Glnd",
        "Gland Submandibular",
        "Gland Submand",
        "Submand",
        "Submand Gland",
        "SubmandGl",
        "SMG",
    ),
    ("颌下腺", "下颌下腺", "頜下腺"),
    paired=True,
    volume=VolumeRange(
        2.9, 13.2, "CT of 130 people (Dentomaxillofac Radiol): mean 8.07, SD 2.57 mL, less and more 2 SD"
    ),
)
MANDIBLE = Organ(
    "mandible",
    "Bone_Mandible",
    ("Mandible Bone", "Mandibula", "Mandibular", "Jaw", "Lower Jaw"),
    ("下颌骨", "下颌", "下頜骨"),
    volume=VolumeRange(38.8, 84.9, OPENKBP),
)
TMJ = Organ(
    "tmj",
    "Joint_TM",
    ("TM Joint", "Temporomandibular Joint", "TMJoint", "Joint TMJ"),
    ("颞颌关节", "颞下颌关节", "颞颔关节"),
    paired=True,
)
LARYNX = Organ("larynx", "Larynx", (), ("喉", "喉部", "喉头"), volume=VolumeRange(8.2, 55.1, OPENKBP))
ORAL_CAVITY = Organ("oral_cavity", "Cavity_Oral", ("OralCavity", "Oral Cav", "Mouth"), ("口腔",))
THYROID = Organ("thyroid", "Glnd_Thyroid", ("Thyroid Gland", "Thyroid Glnd", "Gland Thyroid"), ("甲状腺", "甲狀腺"))
CONSTRICTOR = Organ(
    "pharyngeal_constrictor",
    "Musc_Constrict",
    ("Pharyngeal Constrictors", "Constrictor", "Constrictors", "Pharynx Constrictor", "PCM"),
    ("咽缩肌", "咽縮肌"),
)
BRACHIAL_PLEXUS = Organ("brachial_plexus", "BrachialPlex", ("BPlexus",), ("臂丛", "臂丛神经", "臂神经丛"), paired=True)

# All along the trunk.
SPINAL_CORD = Organ(
    "spinal_cord",
    "SpinalCord",
    ("Cord", "Spinal Chord", "Spine Cord", "Medulla spinalis", "SC"),
    ("脊髓",),
    volume=VolumeRange(16.2, 51.8, f"{OPENKBP}; the length in view"),
)
ESOPHAGUS = Organ(
    "esophagus",
    "Esophagus",
    ("Oesophagus", "Esoph", "Eso", "Oesoph", "Gullet"),
    ("食管", "食道"),
    volume=_icrp(35, 40, 1.03),
)
AORTA = Organ(
    "aorta",
    "A_Aorta",
    ("Arota", "Thoracic Aorta", "Abdominal Aorta"),
    ("主动脉", "主動脈", "腹主动脉", "胸主动脉"),
    volume=VolumeRange(
        47,
        420,
        "Hager (2002), 1.73 cm (at the diaphragm, less 2 SD) over 20 cm to 3.91 cm (ascending, more 2 SD) over 35 cm",
    ),
)

# The thorax.
LUNG = Organ(
    "lung",
    "Lung",
    ("Pulmo", "Lungs"),
    ("肺", "肺脏", "肺臟"),
    paired=True,
    volume=VolumeRange(
        1200, 3800, "ICRP 66 (1994), 45 to 55 % of both, from a woman's resting to a man's total capacity"
    ),
)
HEART = Organ("heart", "Heart", ("Whole Heart",), ("心脏", "心臟", "心"), volume=_icrp(620, 840, 1.06))
TRACHEA = Organ(
    "trachea",
    "Trachea",
    ("Windpipe",),
    ("气管", "氣管"),
    volume=VolumeRange(
        12.5, 49.2, "CT of 60 adults (Kamel 2009): 24.7, SD 6.1 (women) and 35.6, SD 6.8 mL (men), 2 SD"
    ),
)
MAIN_BRONCHUS = Organ("main_bronchus", "Bronchus_Main", ("Main Bronchi",), ("主支气管", "主支氣管"), paired=True)
BREAST = Organ("breast", "Breast", ("Breasts", "Mamma"), ("乳腺", "乳房"), paired=True)
SUPERIOR_VENA_CAVA = Organ("superior_vena_cava", "V_Venacava_S", ("SVC", "Vena Cava Superior"), ("上腔静脉",))

# The abdomen.
LIVER = Organ("liver", "Liver", ("Hepar", "Whole Liver"), ("肝", "肝脏", "肝臟"), volume=_icrp(1400, 1800))
KIDNEY = Organ(
    "kidney", "Kidney", ("Kidneys", "Ren", "Kid"), ("肾", "肾脏", "腎", "腎臟"), paired=True, volume=_icrp(138, 155)
)
SPLEEN = Organ("spleen", "Spleen", ("Splen", "Lien"), ("脾", "脾脏", "脾臟"), volume=_icrp(130, 150))
PANCREAS = Organ("pancreas", "Pancreas", ("Panc",), ("胰", "胰腺", "胰脏", "胰臟"), volume=_icrp(120, 140))
STOMACH = Organ("stomach", "Stomach", ("Gaster",), ("胃", "胃部"), volume=_icrp(370, 400))
GALLBLADDER = Organ("gallbladder", "Gallbladder", ("Gall Bladder", "GB"), ("胆囊", "膽囊"), volume=_icrp(56, 68))
DUODENUM = Organ("duodenum", "Duodenum", ("Duo",), ("十二指肠", "十二指腸"))
ADRENAL = Organ(
    "adrenal",
    "Glnd_Adrenal",
    ("Adrenal Gland", "Adrenal Glnd", "Gland Adrenal", "Suprarenal Gland", "Adrenals"),
    ("肾上腺", "腎上腺"),
    paired=True,
    volume=_icrp(6.5, 7.0),
)
INFERIOR_VENA_CAVA = Organ(
    "inferior_vena_cava",
    "V_Venacava_I",
    ("IVC", "Postcava", "Vena Cava Inferior", "Postcava IVC"),
    ("下腔静脉", "下腔靜脈"),
)
PORTAL_VEIN = Organ(
    "portal_vein",
    "V_Portal",
    ("Portal Vein and Splenic Vein", "Portal and Splenic Vein"),
    ("门静脉", "門靜脈"),
)

# The bowel, and the pelvis.
SMALL_BOWEL = Organ(
    "small_bowel",
    "Bowel_Small",
    ("Small Intestine", "Intestine Small", "Sm Bowel", "SB"),
    ("小肠", "小腸"),
    volume=VolumeRange(
        100, 1350, "ICRP 89 (2002), at most a man's with its contents, 40 % more; as much as is in view"
    ),
)
COLON = Organ("colon", "Colon", (), ("结肠", "結腸"))
SIGMOID = Organ("sigmoid", "Colon_Sigmoid", ("Sigmoid Colon", "Sigma"), ("乙状结肠", "乙狀結腸"))
RECTUM = Organ(
    "rectum",
    "Rectum",
    ("Rect",),
    ("直肠", "直腸"),
    volume=VolumeRange(30, 150, "ICRP 89 (2002), a fifth to all of the rectosigmoid with its contents"),
)
ANAL_CANAL = Organ("anal_canal", "Canal_Anal", (), ("肛管",))
BLADDER = Organ(
    "bladder",
    "Bladder",
    ("Urinary Bladder", "Bladder Urinary", "Blad", "Vesica urinaria"),
    ("膀胱",),
    volume=VolumeRange(150, 590, "277 planning CTs (Li 2022, AAPM): mean 370, SD 110 mL, less and more 2 SD"),
)
FEMORAL_HEAD = Organ(
    "femoral_head",
    "Femur_Head",
    (
        "Femoral Heads",
        "Femoral Head and Neck",
        "Femur Head Neck",
        "Head of Femur",
        "Fem Head",
        "Femhead",
        "Caput femoris",
        "FH",
    ),
    ("股骨头", "股骨頭"),
    paired=True,
    volume=VolumeRange(31, 82, "Cho (2015), a ball of 43 to 50 mm, the means of populations, less and more 4 mm"),
)
PROSTATE = Organ(
    "prostate",
    "Prostate",
    ("Prost",),
    ("前列腺", "摄护腺", "攝護腺"),
    volume=VolumeRange(10, 50, "ICRP 89 (2002), a man's less 40 %, up to three times as much, for it grows with age"),
)
SEMINAL_VESICLES = Organ("seminal_vesicles", "SeminalVes", ("Seminal Vesicle", "Sem Ves", "SV"), ("精囊", "精囊腺"))
UTERUS = Organ("uterus", "Uterus", ("Womb",), ("子宫", "子宮"))
PENILE_BULB = Organ("penile_bulb", "PenileBulb", ("Bulb Penis", "Bulb of Penis"), ("阴茎球", "尿道球", "陰莖球"))
CAUDA_EQUINA = Organ("cauda_equina", "CaudaEquina", ("Cauda",), ("马尾", "马尾神经", "馬尾"))
