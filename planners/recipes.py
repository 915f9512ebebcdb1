"""Published systems, as data: each is a set of options of autoseg_plan_and_preprocess.

A recipe can name nothing that is not an option of its own. documentation/reference/recipes.md lists them.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.errors import unknown_name


@dataclass(frozen=True)
class Recipe:
    """A published system.

    source: where it comes from, and what it reported. options: name of an option without dashes, to its value as on the
    command line; None for one without a value. configuration: of the plans, the one to train. conversion: the command
    that makes its dataset, where there is one. differences: what the engine does otherwise, a sentence each.
    """

    name: str
    source: str
    options: dict[str, str | None]
    configuration: str
    conversion: str = ""
    differences: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """The options as they stand on a command line."""
        return [f"--{name}" if value is None else f"--{name}={value}" for name, value in self.options.items()]


HEAD_NECK_THESIS = Recipe(
    name="head_neck_thesis",
    source="A thesis on eight organs at risk in CT of the head and neck, used in 70 hospitals: pooling 2, 3 or 4 times "
    "gave a mean Dice of .522, .660 and .664; Dice, cross-entropy or focal loss .631, .660 and .670; two stages .730.",
    options={
        "pooling": "3",
        "base-filters": "24",
        "loss": "focal",
        "shift": "8",
        "rotation": "5",
        "scales": "0.9,1.1",
        "mirror": "none",
        "two-stage": "always",
    },
    configuration="3d_two_stage",
    conversion="autoseg_convert organ_masks SOURCE -d 10 --site head_neck",
    differences=(
        "Left and right of a pair share a network, the right one mirrored; the thesis trains one for each.",
        "The second stage also learns on the boxes that the first one found in cases that it had not seen; the thesis "
        "trains it on the true boxes alone.",
        "Rotations and scales come with the engine's probabilities (.2 each), and so do its changes of intensity; the "
        "thesis names none of these.",
        "Three poolings are the most: the network of an organ whose region is too small for them has fewer, which its "
        "decision tells; the thesis pools three times for every organ.",
        "A patch is shifted along each axis by a quarter of its edge at most, that of a small organ so by less than 8 "
        "voxels; the thesis shifts all by up to 8.",
        "Optimiser, learning rate and patch are the planner's: the thesis' are not known.",
    ),
)
LIVER_COARSE_TO_FINE = Recipe(
    name="liver_coarse_to_fine",
    source="A coarse-to-fine system for Task 03 of the Medical Segmentation Decathlon (131 training cases, the tumour "
    "merged into the liver): two stages were much better and faster than one, and needed less memory.",
    options={
        "planner": "residual",
        "widths": "16,32,64,128,256",
        "encoder-depth": "1",
        "clip": "-300,300",
        "two-stage": "always",
        "locate-shape": "128,128,128",
        "region-margin": "30",
        "patch-size": "128,128,128",
        "batch-size": "4",
        "crops-per-case": "4",
        "foreground-fraction": "0.5",
        "loss": "dice",
        "optimizer": "novograd",
        "lr": "0.004",
        "schedule": "cosine_restarts",
        "first-cycle": "5",
        "cycle-growth": "3",
        "validate-whole": "10",
        "cache": None,
    },
    configuration="3d_two_stage",
    conversion="autoseg_convert msd Task03_Liver -d 3 --merge tumour:liver",
    differences=(
        "The coarse grid has 128 x 128 x 128 voxels for the median case and one spacing for all; the original squeezes "
        "every case to that shape.",
        "A patch that is not centred on the liver lies anywhere in its region; the original centres it on the "
        "background.",
        "Half of the fine samples lie around the liver that the coarse stage found in cases that it had not seen; the "
        "original cuts the true one.",
        "The learning rate is .004 in both stages; the original begins with .008.",
        "[-300, 300] HU become [-1, 1]: the original does not say.",
        "The decoder is the residual planner's: one convolution per level.",
    ),
)
RECIPES = {recipe.name: recipe for recipe in (HEAD_NECK_THESIS, LIVER_COARSE_TO_FINE)}


def find_recipe(name: str) -> Recipe:
    """The recipe of this name; OptionError lists those that there are."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]
