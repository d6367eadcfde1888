"""Reports of measurements: pictures, tables behind them, and the figures, under one look.

In: a `Profile`. Out: `Measurements`, which a file keeps as what its ending says: a page (`.html`, or `.pdf` and `.png` by a browser), its
pictures below each other (`.svg`), or the figures (`.json`).

    report(profile(exe, [x])).save("profile.html")
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicc.explain import draw_memory, draw_profile
from minicc.explain.page import Pictures, figure, forms, paragraph, section, table
from minicc.explain.picture import unicode, write_as
from minicc.runtime.profile import Profile

SHORT = 30  # rows of a table that stands open
ENDINGS = (".html", ".png", ".pdf", ".svg", ".json")


@dataclass(frozen=True)
class Measurements(Pictures):
    """Pictures of what was measured, and below them `more` parts of a page. `record` is what JSON has."""

    more: Sequence[str] = ()
    record: Any = None

    def parts(self) -> list[str]:
        return [*super().parts(), *self.more]

    def save(self, path: Path | str) -> None:
        """Write it as what the ending of the name says, one of ENDINGS. Raises ConfigError for another, and for want of a browser."""
        written = {
            ".svg": lambda: unicode(self.together().svg()),
            ".json": lambda: json.dumps(self.record, indent=1).encode(),
        }
        write_as(path, {**forms(self.page()), **written})


def report(found: Profile) -> Measurements:
    """The report of a profile."""
    shown = draw_profile.pictures(found)
    return Measurements(shown.title, shown.words, shown.sections, details(found), found.record())


def details(found: Profile) -> list[str]:
    """What stands below the pictures of a profile: what makes it doubtful, all kernels, and the run call by call."""
    zoomed = [(f"One run, {heading}", picture) for heading, picture in draw_profile.parts(found)]
    zoomed += draw_memory.parts(found.memory) if found.memory else []
    folded = [section(heading, figure(picture), unfolded=False) for heading, picture in zoomed]
    return [
        *(paragraph(note, "note") for note in found.notes),
        section("All kernels", table(*found.table()), unfolded=len(found.rows) <= SHORT),
        *folded,
    ]
