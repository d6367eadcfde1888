"""The text of a `.cfg`: sections of options, with the lines they are on.

    file    ::= (section | option | comment)*      the first section is [net]
    section ::= [KIND]
    option  ::= KEY=VALUE                           of the section above it; of two with one key the first counts
    comment ::= # or ; to the end of the line

Blanks mean nothing, and lines end in any way. The text is not trusted: its length and every number are checked here.

>>> net, layer = read_sections("a.cfg", b"[net]\\nwidth = 8\\n[maxpool]\\nsize=2")
>>> net.integer("width"), layer.integer("stride", 1), layer.line
(8, 1, 3)
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from minicc.errors import LoadError, nearest
from minicc.frontend.formats import HEAD, foreign

LONGEST = 1 << 17  # bytes of a .cfg: ten times those of YOLOv4, and lists as long take seconds
MOST_SECTIONS = 5_000
MOST = 2**31 - 1  # Darknet's numbers are of 32 bits
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Section:
    """A section of a `.cfg`: `options` are texts with their lines, by key."""

    file: str
    kind: str
    line: int
    options: dict[str, tuple[str, int]] = field(default_factory=dict)

    def error(self, problem: str, hint: str, key: str = "") -> LoadError:
        """A LoadError whose place is this section, or its option `key`."""
        text, line = self.options.get(key, ("", self.line))
        where = f"{self.file}:{line} [{self.kind}]{f' {key}={text[:80]}' if text else ''}"
        return LoadError(f"load({self.file!r})", problem, where, hint)

    def text(self, key: str, default: str = "") -> str:
        return self.options.get(key, (default, 0))[0]

    def integers(self, key: str, low: int = -MOST, high: int = MOST) -> list[int]:
        """The integers of a list, each in [low, high]; none where the key is absent."""
        return [self._integer(key, word, low, high) for word in self._words(key)]

    def numbers(self, key: str) -> list[float]:
        """The finite numbers of a list; none where the key is absent."""
        return [self._number(key, word) for word in self._words(key)]

    def integer(self, key: str, default: int | None = None, low: int = 1, high: int = MOST) -> int:
        """An integer in [low, high]; one without a default must be there."""
        if key not in self.options and default is None:
            near = nearest(key, self.options)
            hint = f"did you mean {key}= by {near}=?" if near else f"add {key}=, a number from {low} on"
            raise self.error(f"expected {key}=, got none", hint)
        return self._integer(key, self.options[key][0], low, high) if key in self.options else default or 0

    def number(self, key: str, default: float) -> float:
        return self._number(key, self.options[key][0]) if key in self.options else default

    def _words(self, key: str) -> Sequence[str]:
        return [word for word in self.text(key).split(",") if word]

    def _integer(self, key: str, word: str, low: int, high: int) -> int:
        if not _INTEGER.fullmatch(word) or not low <= int(word) <= high:
            hint = f"give {key}= as the layer's author has it"
            raise self.error(f"{key} must be an integer in [{low}, {high}], got {word[:40]!r}", hint, key)
        return int(word)

    def _number(self, key: str, word: str) -> float:
        if not _NUMBER.fullmatch(word) or not math.isfinite(float(word)):
            hint = f"give {key}= as the layer's author has it"
            raise self.error(f"{key} must be a finite number, got {word[:40]!r}", hint, key)
        return float(word)


def read_sections(file: str, content: bytes) -> list[Section]:
    """The sections of a `.cfg`. Raises LoadError."""
    found: list[Section] = []
    for number, raw in enumerate(re.split("\r\n|\r|\n", _decoded(file, content)), 1):
        line = "".join(re.split("[#;]", raw)[0].split())
        if re.fullmatch(r"\[.*\]", line):
            found.append(Section(file, line[1:-1], number))
            if len(found) > MOST_SECTIONS:
                hint = "give the .cfg of one network"
                raise found[-1].error(f"expected at most {MOST_SECTIONS:,} sections, got more", hint)
        elif line:
            key, equals, value = line.partition("=")
            if not (key and equals) or line.startswith("["):
                place = found[-1] if found else Section(file, "", number)
                problem = f"expected [SECTION] or KEY=VALUE, got {line[:60]!r} in line {number}"
                raise place.error(problem, "write # before a comment; is the file a Darknet .cfg?")
            if not found:
                problem = f"expected [net] first, got {line[:60]!r}"
                raise Section(file, "", number).error(problem, "put [net], with width, height and channels, above it")
            found[-1].options.setdefault(key, (value, number))
    return found


def _decoded(file: str, content: bytes) -> str:
    """The text. Comments in an encoding that is not UTF-8 do no harm."""
    place = Section(file, "", 1)
    if len(content) > LONGEST:
        hint = "the weights are a file of their own: give the .cfg first"
        raise place.error(f"expected a .cfg of at most {LONGEST:,} bytes, got more", hint)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise place.error("expected UTF-8 text, got UTF-16", f"iconv -f UTF-16 -t UTF-8 {file} > utf8.cfg")
    if b"\0" in content or foreign(content[:HEAD]):
        what = (foreign(content[:HEAD]) or ("bytes that are no text", ""))[0]
        hint = "give the .cfg; the .weights stand beside it, or are given by weights="
        raise place.error(f"expected the text of a Darknet .cfg, got {what}", hint)
    return content.decode("utf-8-sig", errors="replace")
