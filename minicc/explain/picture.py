"""The kit of all pictures: shapes, colours, and an SVG text with a title and a text alternative.

In: shapes, which functions here make of numbers and words. Out: a `Picture`, which a notebook shows, a page holds and a file
keeps; it needs no server and no script. What a shape looks like is a class of STYLE: `c1` to `c8` are kinds of things, `h0` to
`h7` amounts, `add` and `cut` what a change brought and took. Kinds differ for colour-blind readers, too, on light paper and on
dark, and words on them can be read (tests/explain/test_picture.py measures both); still no colour says what no word says.

>>> dot = Picture("one dot", "A dot in the middle.", 40, 40, [circle(20, 20, 6, "c1", hover="<here>")])
>>> "&lt;here&gt;" in dot.svg() and "<desc" in dot.svg()
True

Words come from files that anybody wrote: every function here escapes what it is given, and replaces what XML has not.
Sources: Machado, Oliveira and Fernandes 2009 (simulation of colour blindness); WCAG 2.2, 1.4.3 (contrast); SVG 2, 5.7 (titles).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from unicodedata import east_asian_width

from minicc.errors import ConfigError, printable
from minicc.explain.browser import png
from minicc.runtime.files import write_file

LIGHT = {
    "paper": "#ffffff", "ink": "#1d2430", "muted": "#5b6470", "line": "#c3cad6", "soft": "#eef1f5", "strong": "#0b5cad",
    "c1": "#9abff9", "c2": "#ffc65a", "c3": "#5dd7a6", "c4": "#d07eae", "c5": "#f8ed9c", "c6": "#e47866", "c7": "#a085f3", "c8": "#def8f4",
    "h0": "#f4f7fb", "h1": "#dbe8f6", "h2": "#bcd6ee", "h3": "#97bfe3", "h4": "#6ea5d5", "h5": "#4688c2", "h6": "#2469a8", "h7": "#0c4a85",
}  # fmt: skip
DARK = {
    "paper": "#14181f", "ink": "#f1f3f7", "muted": "#a3adbb", "line": "#475060", "soft": "#232a34", "strong": "#7db8f7",
    "c1": "#274e9d", "c2": "#9d5f00", "c3": "#00765b", "c4": "#9d3180", "c5": "#79531e", "c6": "#7d2b2b", "c7": "#6636c1", "c8": "#513a47",
    "h0": "#1a212b", "h1": "#18324d", "h2": "#1c456c", "h3": "#245a8c", "h4": "#3272ab", "h5": "#4b8fc9", "h6": "#78b0e0", "h7": "#b3d6f2",
}  # fmt: skip
KINDS = tuple(f"c{k}" for k in range(1, 9))
AMOUNTS = tuple(f"h{k}" for k in range(8))
SANS = '"DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif'
MONO = '"DejaVu Sans Mono", Menlo, Consolas, monospace'
SIZE = 12  # pixels of a letter
LETTER, CODE_LETTER = 0.58, 0.603  # the mean width of a letter, and that of all letters of code, in sizes
LETTERS = {
    " ',.·:;/|ijlIJ": 0.35,
    '()[]!-\\"frt': 0.46,
    "*_`csz?": 0.55,
    "kvxyFL": 0.59,
    "ABCKRVXYZ": 0.71,
    "DGHNOQU#&+<=>~→w": 0.84,
    "mMW%@…": 1.0,
}
FULL, USUAL = 1.1, 0.635  # of a letter of East Asia, and of all that are in no line here, both in sizes
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # Source: XML 1.0, production 2, Char


def variables(colours: Mapping[str, str]) -> str:
    """Colours as the variables that classes read."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


STYLE = f"""
.minicc {{ {variables(LIGHT)} color-scheme: light dark; }}
@media screen and (prefers-color-scheme: dark) {{ .minicc {{ {variables(DARK)} }} }}
.minicc text {{ font: {SIZE}px {SANS}; fill: var(--ink); white-space: pre; }}
.minicc text.code {{ font-family: {MONO}; }} .minicc text.small {{ font-size: 10px; }} .minicc text.muted {{ fill: var(--muted); }}
.minicc text.head {{ font-size: 14px; font-weight: bold; }} .minicc text.bold {{ font-weight: bold; }}
.minicc .paper {{ fill: var(--paper); }} .minicc .soft {{ fill: var(--soft); stroke: var(--line); }} .minicc .none {{ fill: none; stroke: var(--line); }}
.minicc .edge {{ fill: none; stroke: var(--muted); }} .minicc .strong {{ fill: none; stroke: var(--strong); stroke-width: 2; }}
.minicc .frame .paper {{ fill: var(--soft); }}
.minicc .halo {{ paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }}
.minicc .tip {{ fill: var(--muted); stroke: none; }} .minicc .dashed {{ stroke-dasharray: 4 3; }}
.minicc .add {{ fill: var(--c1); stroke: none; }} .minicc .cut {{ fill: var(--c2); stroke: none; }}
{"".join(f".minicc .{k} {{ fill: var(--{k}); stroke: var(--muted); }} " for k in KINDS)}
{"".join(f".minicc .{k} {{ fill: var(--{k}); stroke: none; }} " for k in AMOUNTS)}
{"".join(f".minicc .band.{k} {{ fill: none; stroke: var(--{k}); }} " for k in (*KINDS, "soft", "muted"))}
"""


@dataclass(frozen=True)
class Picture:
    """A drawing of `width` by `height` pixels. `title` names it, `words` say what is to be seen for whoever does not see it."""

    title: str
    words: str
    width: float
    height: float
    shapes: Sequence[str]
    style: str = ""  # CSS beyond STYLE; its names must be its own, as a page holds many pictures

    def svg(self, alone: bool = True) -> str:
        """The SVG text: `alone` with the colours, as a file has it, else as part of a page that has them."""
        body = "\n".join(self.shapes)
        name = "p" + sha256("\0".join((self.title, self.words, body)).encode("utf-8", "replace")).hexdigest()[:12]
        style = (STYLE if alone else "") + self.style
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" class="minicc" role="img" aria-labelledby="{name}t {name}d" '
            f'viewBox="0 0 {number(self.width)} {number(self.height)}" width="{number(self.width)}" height="{number(self.height)}">',
            f'<title id="{name}t">{clean(self.title)}</title>',
            f'<desc id="{name}d">{clean(self.words)}</desc>',
            *([f"<style>{style}</style>"] if style else []),
            '<rect class="paper" width="100%" height="100%"/>',
            body,
            "</svg>\n",
        ])  # fmt: skip

    def html(self) -> str:
        """The picture as part of a page, or of a notebook, that knows nothing of it; it shrinks to the room that there is."""
        return f'<div class="minicc-picture" style="overflow-x: auto">{self.svg()}</div>'

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: Path | str) -> None:
        """Write it to a file, .svg, or .png of two dots a pixel. Raises ConfigError for another ending, and where no browser makes a PNG."""
        write_as(path, {".svg": lambda: unicode(self.svg()), ".png": lambda: png(self.svg(), self.width, scale=2)})


def write_as(path: Path | str, forms: Mapping[str, Callable[[], bytes]]) -> None:
    """Write to a file what its ending stands for. Raises ConfigError for an ending that stands for nothing."""
    if (make := forms.get(Path(path).suffix)) is None:
        problem = f"expected a name that ends in {' or '.join(forms)}, got {printable(Path(path).name)!r}"
        raise ConfigError(f"save({str(path)!r})", problem, hint=f'save("picture{next(iter(forms))}")')
    write_file(Path(path), make())


def unicode(text: str) -> bytes:
    """A text as a file has it, whatever is in it."""
    return text.encode("utf-8", "replace")


def clean(words: object) -> str:
    """Words as the text of an element, or the value of an attribute."""
    return escape(NOT_XML.sub("\ufffd", str(words)))


def number(value: float) -> str:
    """A coordinate, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def amount(value: float, unit: str) -> str:
    """A number of three digits with its unit, by the prefixes of the SI.

    >>> amount(1_234_567, "B"), amount(0.000_25, "s"), amount(0, "B"), amount(999.6, "B"), amount(12, "B")
    ('1.23 MB', '250 µs', '0 B', '1 kB', '12 B')
    """
    rounded = float(f"{value:.3g}")
    power = next((p for p in range(4, -4, -1) if abs(rounded) >= 1000.0**p), 0)
    prefix = {4: "T", 3: "G", 2: "M", 1: "k", 0: "", -1: "m", -2: "µ", -3: "n"}[power]
    return f"{rounded / 1000.0**power:.4g} {prefix}{unit}"


def count(number: int, noun: str) -> str:
    """So many of them, as `1 call`, `2,000 calls`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def ticks(most: float, count: int = 5) -> list[float]:
    """Round numbers from 0 on, about so many up to the most.

    >>> ticks(7.3), ticks(230, 3), ticks(0)
    ([0.0, 2.0, 4.0, 6.0], [0.0, 100.0, 200.0], [0.0])
    """
    if most <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(most / count))
    step = next(k * power for k in (1, 2, 5, 10) if k * power * count >= most * 0.999)
    return [k * step for k in range(int(most / step + 1e-9) + 1)]


@cache
def _letter(letter: str, code: bool) -> float:
    """The most that a letter takes in the usual fonts, in sizes."""
    if east_asian_width(letter) in "WF":
        return FULL
    return CODE_LETTER if code else next((width for some, width in LETTERS.items() if letter in some), USUAL)


def wide(words: object, size: float = SIZE, code: bool = False) -> float:
    """About how many pixels words take, and no fewer than they do: short words may have no letter that is narrow.

    >>> wide("mmm") > wide("aaa") > wide("ill"), wide("输入", code=True) > wide("ab", code=True)
    (True, True)
    """
    shown = str(words)
    return size * max(len(shown) * (CODE_LETTER if code else LETTER), sum(_letter(c, code) for c in shown))


def cut(words: object, width: float, size: float = SIZE, code: bool = False) -> str:
    """Words that fit in so many pixels, the rest left out behind a sign.

    >>> cut("a_long_name", 60), cut("short", 60), cut("any", 0)
    ('a_long_…', 'short', '…')
    """
    shown = str(words)
    if wide(shown, size, code) <= width:
        return shown
    most = next((n for n in range(1, len(shown)) if wide(f"{shown[:n]}…", size, code) > width), len(shown))
    return f"{shown[: most - 1]}…"


def element(tag: str, inside: str = "", hover: object = "", **attributes: object) -> str:
    """An element; `kind` is its class, a `_` in the name of an attribute stands for `-`. `inside` is markup, all else words."""
    names = {"kind": "class", **{name: name.replace("_", "-") for name in attributes if name != "kind"}}
    given = {names[name]: value for name, value in attributes.items() if value is not None and value != ""}
    head = "".join(f' {k}="{number(v) if isinstance(v, float) else clean(v)}"' for k, v in given.items())
    body = (f"<title>{clean(hover)}</title>" if hover else "") + inside
    return f"<{tag}{head}>{body}</{tag}>" if body else f"<{tag}{head}/>"


def text(x: float, y: float, words: object, kind: str = "", anchor: str = "", **more: object) -> str:
    """Words whose base line begins at a point, or with `anchor` has its middle or end there."""
    return element("text", clean(words), kind=kind, x=float(x), y=float(y), text_anchor=anchor, **more)


def rect(
    x: float, y: float, width: float, height: float, kind: str = "soft", hover: object = "", **more: object
) -> str:
    return element(
        "rect", "", hover, kind=kind, x=float(x), y=float(y), width=float(width), height=float(height), **more
    )


def circle(x: float, y: float, r: float, kind: str = "c1", hover: object = "", **more: object) -> str:
    return element("circle", "", hover, kind=kind, cx=float(x), cy=float(y), r=float(r), **more)


def line(points: Iterable[tuple[float, float]], kind: str = "edge", hover: object = "", **more: object) -> str:
    """A line through points."""
    joined = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return element("polyline", "", hover, kind=kind, points=joined, **more)


def arrow(points: Sequence[tuple[float, float]], kind: str = "edge", hover: object = "", **more: object) -> str:
    """A line through points with a tip at its end, which comes from above."""
    x, y = points[-1]
    tip = element("path", kind="tip", d=f"M{number(x - 4)},{number(y - 7)} h8 l-4,7 z")
    return line([*points[:-1], (x, y - 5)], kind, hover, **more) + tip


def group(shapes: Iterable[str], hover: object = "", **attributes: object) -> str:
    return element("g", "".join(shapes), hover, **attributes)


def legend(x: float, y: float, entries: Iterable[tuple[str, str]], room: float = 1e9) -> tuple[list[str], float]:
    """A line of boxes with words, each (kind, words), on several lines where `room` is short; and where it ends below."""
    shapes, at = [], x
    for kind, words in entries:
        need = 20 + wide(words) + 18
        if at > x and at + need > x + room:
            at, y = x, y + 20
        shapes += [rect(at, y, 14, 14, kind, rx=2), text(at + 20, y + 11, words)]
        at += need
    return shapes, y + 14


def used(shapes: Iterable[str], entries: Mapping[str, str]) -> list[tuple[str, str]]:
    """Of the entries of a legend, class to words, those that shapes have."""
    classes = set(re.findall(' class="([^"]*)"', "".join(shapes)))  # words hold no such quotes: they are escaped
    return [(kind, words) for kind, words in entries.items() if kind in classes]
