"""The one door by which pictures become files: the ending of the name says what is written.

In: what `.picture()` gives, and a path. Out: a file, whole or not there: `.svg` holds one picture, `.html` is a page that opens
offline, of one picture or of several.

    save(graph.picture(), Path("graph.html"))
"""

from __future__ import annotations

from pathlib import Path

from minicc.explain.page import Pictures, figure, page
from minicc.explain.picture import Picture
from minicc.runtime.files import write_file

ENDINGS = (".svg", ".html")


def save(shown: Picture | Pictures, path: Path) -> None:
    """Write a picture, or several. Raises ConfigError for an ending that says nothing, and for several as an .svg."""
    if isinstance(shown, Picture) and path.suffix == ".html":
        write_file(path, page(shown.title, figure(shown), lead=shown.words).encode("utf-8", "replace"))
    else:
        shown.save(path)
