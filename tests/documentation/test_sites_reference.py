"""The page of the sites against the data: its tables are exactly what the code knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dataset_conversion.organs import Organ
from dataset_conversion.sites import SITES, Site

PAGE = Path(__file__).parents[2] / "documentation" / "reference" / "sites.md"


def organ_row(organ: Organ) -> str:
    cells = (
        ", ".join(f"`{name}`" for name in organ.classes),
        ", ".join(organ.tg263_classes),
        ", ".join(organ.spellings),
        "、".join(organ.chinese),
        f"{organ.volume.low_ml:g} to {organ.volume.high_ml:g}" if organ.volume else "",
    )
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def window_row(name: str, site: Site) -> str:
    window = site.windows[name]
    low, high = window.range_hu
    return f"| {name} | {window.level_hu:g} | {window.width_hu:g} | {low:g} to {high:g} |"


def section(name: str) -> str:
    """What the page says of a site."""
    site = SITES[name]
    return "\n".join(
        [
            f"## {name}",
            "",
            "| class | TG-263 | also called | Chinese | mL |",
            "|---|---|---|---|---|",
            *(organ_row(organ) for organ in site.organs),
            "",
            "| window | level, HU | width, HU | from, to |",
            "|---|---|---|---|",
            *(window_row(window, site) for window in site.windows),
            "",
        ]
    )


@pytest.mark.parametrize("name", SITES)
def test_the_section_of_a_site(name: str) -> None:
    assert section(name) in PAGE.read_text()


def test_there_is_a_section_for_every_site_and_a_source_for_every_volume() -> None:
    page = PAGE.read_text()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(SITES)
    volumes = {organ.volume.source for site in SITES.values() for organ in site.organs if organ.volume}
    assert all(source in " ".join(page.split()) for source in volumes)
