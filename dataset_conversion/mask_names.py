"""Which organ each mask is of, by the user's own aliases and by a site's spellings, and what is left over."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from autoseg.errors import DatasetError, OptionError
from dataset_conversion.sites import Site

logger = logging.getLogger(__name__)

ENDINGS = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
NEAR_SHOWN = 3


@dataclass(frozen=True)
class MaskNames:
    """aliases: name of a mask's file, without its ending, to the organ; they overrule the site.

    site: whose organs are converted under their names in autoseg. Without one, a mask without an alias is an organ of
    its own name.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    site: Site | None = None

    def organ_of(self, name: str) -> str | None:
        """The organ that the mask `name` is of; None where it is no organ of the site.

        Raises DatasetError for a name that two organs of the site have.
        """
        name = self.aliases.get(name, name)
        if self.site is None:
            return name
        found = self.site.find(name)
        if len(found) > 1:
            raise DatasetError(
                f"The mask {name!r} may be {' or '.join(found)}.",
                f"Rename or remove it, or say which with --alias {found[0]}={name}.",
            )
        return found[0] if found else name if name in self.aliases.values() else None

    def in_order(self, organs: Iterable[str]) -> tuple[str, ...]:
        """The organs as the site orders them, then others by name."""
        found = sorted(set(organs))
        known = [] if self.site is None else [name for name in self.site.classes if name in found]
        return (*known, *(name for name in found if name not in known))

    def report(self, organs: Sequence[str], unknown: Sequence[str]) -> None:
        """Log what a site's organs and the masks leave over.

        organs: that some patient has. unknown: names of masks that are left out, once for each patient.
        Raises DatasetError where there are masks but none is of an organ.
        """
        if self.site is None:
            return
        if unknown:
            logger.warning(_unknown_table(self.site, unknown))
        if not organs and unknown:
            raise DatasetError(
                f"No mask is of an organ of the site {self.site.title}.", "Is it another --site? Else give --alias."
            )
        missing = [name for name in self.site.classes if name not in organs]
        if missing:
            logger.info("No patient has a mask of %s; they are no classes.", ", ".join(missing))


def stem(name: str) -> str:
    """The name of a mask's file without its ending.

    >>> stem("Eye_L.nii.gz")
    'Eye_L'
    """
    return next((name[: -len(ending)] for ending in ENDINGS if name.endswith(ending)), name)


def split_names(text: str) -> tuple[str, ...]:
    """The names in a list that is separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_aliases(texts: Sequence[str]) -> dict[str, str]:
    """{"LeftParotid": "Parotid_L"} for "Parotid_L=LeftParotid". Raises OptionError for other texts."""
    aliases: dict[str, str] = {}
    for text in texts:
        organ, separator, files = text.partition("=")
        if not organ or not separator or not split_names(files):
            raise OptionError(f"--alias {text!r} is not like Parotid_L=LeftParotid.", "Give ORGAN=FILE[,FILE].")
        for name in split_names(files):
            if aliases.setdefault(stem(name), organ) != organ:
                raise OptionError(f"--alias gives {name!r} to both {aliases[stem(name)]} and {organ}.", "Keep one.")
    return aliases


def _unknown_table(site: Site, unknown: Sequence[str]) -> str:
    """One line per name: the mask, in how many patients, and which organs are called alike."""
    counts = Counter(unknown)
    near = {name: site.near(name)[:NEAR_SHOWN] for name in counts}
    width = max(len("mask"), *(len(name) for name in counts))
    lines = [f"  {name:{width}}  {counts[name]:>8}  {', '.join(near[name]) or '-'}" for name in sorted(counts)]
    example = next((f"--alias {organs[0]}={name}" for name, organs in near.items() if organs), "--alias ORGAN=MASK")
    return "\n".join(
        [
            f"These masks are no organ of the site {site.title} by their names, and are left out:",
            f"  {'mask':{width}}  patients  called alike",
            *lines,
            f"What one of them is can be said with {example}; an ORGAN of another name becomes a class of its own.",
        ]
    )
