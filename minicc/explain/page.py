"""The one look of all pages: an HTML file that opens offline, folds, prints, and runs nothing but what minicc wrote.

In: parts of a page, as functions here make them. Out: its text. A page without a script says so to the browser, and one with a
script gives its hash (Content Security Policy), so that words from a model cannot run, whatever they are.

>>> from minicc.explain.picture import Picture, circle
>>> dot = Picture("one dot", "A dot.", 40, 40, [circle(20, 20, 6)])
>>> text = page("Dots", section("All dots", figure(dot, "one <dot>")))
>>> "one &lt;dot&gt;" in text, "script-src 'none'" in text
(True, True)

Source of the policy: W3C, Content Security Policy Level 3.
"""

from __future__ import annotations

import json
import textwrap
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from minicc.errors import ConfigError
from minicc.explain.browser import pdf, png
from minicc.explain.picture import (
    DARK,
    LIGHT,
    MONO,
    SANS,
    STYLE,
    Picture,
    clean,
    cut,
    group,
    text,
    unicode,
    variables,
    write_as,
)

LEAST = 0.8  # of its width that a picture is shown at, at least
LONGEST = 1600  # pixels of a heading, in one line of small words; names of models may have any length
FLOW = """
.flow { display: flex; flex-wrap: wrap; gap: 0 16px; align-items: flex-start; } .flow > * { max-width: 100%; min-width: min(350px, 100%); }
.flow > .words { flex: 1 1 230px; min-width: 0; } .flow > details > summary { width: 0; min-width: 100%; }
@media print { .flow { zoom: 0.85; } .flow .flow { zoom: 1; } }
"""
WIDEST, TALLEST, HEADING, COLUMN = (
    1500,
    2400,
    34,
    340,
)  # pixels of several pictures in one: in all; of a heading, of words
LOOK = f"""{FLOW}
:root {{ {variables(LIGHT)} color-scheme: light dark; }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} }} }}
* {{ box-sizing: border-box; }}
body {{ font: 15px/1.5 {SANS}; color: var(--ink); background: var(--paper); max-width: 1400px; margin: 0 auto; padding: 0 16px 32px; }}
h1, summary, p, figcaption {{ overflow-wrap: anywhere; }} h1 {{ font-size: 1.5em; }} h2 {{ font-size: 1.2em; }} code, pre, .code {{ font: 13px/1.45 {MONO}; }} a {{ color: var(--strong); }}
.note {{ color: var(--muted); }} .lead {{ max-width: 75ch; white-space: pre-line; }}
details {{ border: 1px solid var(--line); border-radius: 6px; margin: 12px 0; padding: 0 12px; }}
summary {{ cursor: pointer; padding: 8px 0; font-weight: bold; }} summary .note {{ font-weight: normal; }}
figure {{ margin: 8px 0; overflow-x: auto; }} figcaption {{ color: var(--muted); }} figure > svg {{ max-width: 100%; min-width: var(--least); height: auto; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }} td, th {{ padding: .2em .7em; border-bottom: 1px solid var(--line); text-align: right; }}
td:first-child, th:first-child {{ text-align: left; }} pre {{ overflow-x: auto; background: var(--soft); padding: 8px; border-radius: 6px; }}
@media print {{ figure > svg {{ min-width: 0; }} body {{ max-width: none; font-size: 12px; }} details, figure, tr {{ break-inside: avoid; }} summary {{ break-after: avoid; }}
  details::details-content {{ content-visibility: visible; block-size: auto; }} }}
"""


def page(
    title: str,
    *parts: str,
    lead: str = "",
    script: str = "",
    style: str = "",
    connect: bool = False,
    top: str = "",
    language: str = "en",
) -> str:
    """The text of a page of these parts, which are markup, as is what stands at its `top`, above the title. `script` is one of
    minicc's own; with `connect` it may ask the server that gave it."""
    runs = f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" if script else "'none'"
    asks = " connect-src 'self';" if connect else ""
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';{asks} script-src {runs}"
    return "\n".join([
        f'<!doctype html>\n<html lang="{clean(language)}">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{clean(title)}</title>\n<style>{LOOK}{STYLE}{style}</style>\n</head>\n<body>\n{top}<h1>{clean(cut(title, LONGEST))}</h1>",
        *([f'<p class="lead">{clean(lead)}</p>'] if lead else []),
        *parts,
        *([f"<script>{script}</script>"] if script else []),
        "</body>\n</html>\n",
    ])  # fmt: skip


def section(heading: str, *parts: str, note: str = "", unfolded: bool = True) -> str:
    """A part of a page that folds, under a heading."""
    more = f' <span class="note">{clean(note)}</span>' if note else ""
    state = " open" if unfolded else ""
    return (
        f"<details{state}><summary>{clean(cut(heading, LONGEST))}{more}</summary>\n" + "\n".join(parts) + "\n</details>"
    )


def figure(picture: Picture, caption: str = "") -> str:
    """A picture, with words below; where there is little room it shrinks as far as it can be read, then it scrolls."""
    below = f"<figcaption>{clean(caption)}</figcaption>" if caption else ""
    least = f"--least: {LEAST * picture.width:.0f}px"
    return f'<figure style="{least}">{picture.svg(alone=False)}{below}</figure>'


def flowing(*parts: str) -> str:
    """Parts side by side, in as many lines as it takes."""
    return '<div class="flow">' + "\n".join(parts) + "</div>"


def paragraph(words: object, kind: str = "") -> str:
    return f'<p class="{kind}">{clean(words)}</p>' if kind else f"<p>{clean(words)}</p>"


def preformatted(words: object) -> str:
    """Lines of code."""
    return f"<pre>{clean(words)}</pre>"


def data(name: str, value: object) -> str:
    """What a script reads by the name, as JSON: `JSON.parse(document.getElementById(name).textContent)`."""
    shown = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{clean(name)}">{shown}</script>'


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Rows under their heads; the first column to the left, all others to the right."""
    top = "".join(f"<th>{clean(h)}</th>" for h in head)
    body = "\n".join("<tr>" + "".join(f"<td>{clean(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>\n{body}</table>"


class Plate(NamedTuple):
    """A picture under a heading, with a note beside that; folded where it tells nothing new. More pictures, then words, may stand beside it."""

    heading: str
    picture: Picture
    note: str = ""
    unfolded: bool = True
    more: Sequence[Picture] = ()
    words: Sequence[str] = ()

    def section(self) -> str:
        """As part of a page."""
        shown = [figure(self.picture), *map(figure, self.more)]
        shown += [f'<div class="words">{"".join(map(paragraph, self.words))}</div>'] if self.words else []
        return section(
            self.heading, flowing(*shown) if len(shown) > 1 else shown[0], note=self.note, unfolded=self.unfolded
        )

    def columns(self) -> list[Picture]:
        """As columns of a picture."""
        lines = [line for words in self.words for line in (*textwrap.wrap(words, COLUMN // 7), "")]
        shapes = [text(10, 20 + 16 * k, line) for k, line in enumerate(lines)]
        return [self.picture, *self.more, *([Picture("", "", COLUMN, 16 * len(lines) + 20, shapes)] if lines else [])]


@dataclass(frozen=True)
class Pictures:
    """What takes several pictures: each under a heading of its own, of at most a screen; those that are narrow stand side by side."""

    title: str
    words: str
    sections: Sequence[Plate | tuple[str, Picture]]

    def parts(self) -> list[str]:
        """The sections of a page."""
        return [flowing(*(Plate(*given).section() for given in self.sections))]

    def together(self, call: str = "together()") -> Picture:
        """All in one picture, in rows. Raises ConfigError when that is taller than a few screens."""
        shapes, x, y, low, right = list[str](), 0.0, 0.0, 0.0, 0.0
        for plate in [Plate(*given) for given in self.sections]:
            columns = plate.columns()
            if x and x + sum(c.width for c in columns) > WIDEST:
                x, y = 0.0, low
            shapes.append(text(x + 10, y + 24, cut(plate.heading, columns[0].width - 20), "bold"))
            for column in columns:
                shapes.append(group(column.shapes, transform=f"translate({x:.1f} {y + HEADING:.1f})"))
                x, low = x + column.width, max(low, y + HEADING + column.height)
            right = max(right, x)
        if low > TALLEST:
            problem = f"expected a picture of at most {TALLEST} pixels in height, got one of {low:.0f}"
            raise ConfigError(call, problem, hint="a name that ends in .html: a page with sections that fold")
        style = "".join(dict.fromkeys(p.style for plate in self.sections for p in Plate(*plate).columns()))
        return Picture(self.title, self.words, max(right, COLUMN), max(low, HEADING), shapes, style)

    def html(self) -> str:
        """The pictures as part of a notebook."""
        return "\n".join([f"<style>{STYLE}{FLOW}</style>", paragraph(self.words), *self.parts()])

    def page(self) -> str:
        """The pictures as a page."""
        return page(self.title, *self.parts(), lead=self.words)

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_svg_(self) -> None:
        """A notebook then takes the other form."""

    def save(self, path: Path | str) -> None:
        """Write them to a file: .html, .svg where they are few, or by a browser .png or .pdf. Raises ConfigError for another ending, and where there is none."""
        write_as(path, {".svg": lambda: unicode(self.together(f"save({str(path)!r})").svg()), **forms(self.page())})


def forms(text: str) -> dict[str, Callable[[], bytes]]:
    """What a page may be saved as, by the endings of files."""
    return {".html": lambda: unicode(text), ".png": lambda: png(text), ".pdf": lambda: pdf(text)}
