"""The one door by which pictures become files: the ending of the name says what is written.

In: what `.picture()` gives, and a path. Out: a file, whole or not there: `.svg` holds one picture, `.html` is a page that opens
offline, of one picture or of several; a Chromium that is there makes the one or the other a `.png`, and the page a `.pdf`.

    save(graph.picture(), Path("graph.html"))
"""

from __future__ import annotations

from pathlib import Path

from minicc.explain.page import Pictures, figure, forms, page
from minicc.explain.picture import Picture, write_as

ENDINGS = (".svg", ".html", ".png", ".pdf")


def save(shown: Picture | Pictures, path: Path) -> None:
    """Write a picture, or several. Raises ConfigError for an ending that says nothing, for an .svg of too many, and without a browser."""
    if isinstance(shown, Picture) and path.suffix in (".html", ".pdf"):
        write_as(path, forms(page(shown.title, figure(shown), lead=shown.words)))
    else:
        shown.save(path)
