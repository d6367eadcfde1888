"""Reading the manifest of a package: JSON of which nothing is believed before it is checked.

In: the bytes of manifest.json. Out: `Entry` objects whose accessors give values of the type and range
that they ask for, or raise a LoadError that names the place, as `kernels[3].launches[0].grid`.

>>> Manifest("read('x.tar')", "make it again", b'{"version": 1}').top.integer("version", 0, 9)
1
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeGuard

from minicc.errors import LoadError, MiniccError
from minicc.types import DType, TensorType

FORMAT, VERSION = "minicc-package", 1
ALIGNMENT = 64  # of each constant in its member
MOST_RANK, MOST_DIM, MOST_TEXT = 64, 1 << 40, 4096
MOST_BYTES = 1 << 40  # of one buffer, and of a tensor whose dimensions of 0 were 1


def is_printable(value: object) -> TypeGuard[str]:
    """Whether it is text, not too long, that prints as itself: no control characters, no halves of surrogate pairs."""
    return isinstance(value, str) and len(value) <= MOST_TEXT and value.isprintable()


class Entry:
    """A JSON value, and where in the manifest it stands."""

    def __init__(self, reader: Manifest, value: Any, place: str) -> None:
        self.reader, self.value, self.place = reader, value, place

    def wrong(self, name: str, wanted: object, got: object) -> LoadError:
        return self.reader.wrong(f"{self.place}.{name}".lstrip("."), wanted, got)

    def get(self, name: str, kind: type, word: str) -> Any:
        """The field `name`, which must be of type `kind`."""
        if not isinstance(self.value, dict):
            raise self.reader.wrong(self.place or "the manifest", "an object", type(self.value).__name__)
        value = self.value.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(name, word, "nothing" if value is None else f"{value!a:.60}")
        return value

    def has(self, name: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def entry(self, name: str) -> Entry:
        """The object `name`."""
        return Entry(self.reader, self.get(name, dict, "an object"), f"{self.place}.{name}".lstrip("."))

    def integer(self, name: str, low: int, high: int) -> int:
        return self._range(name, self.get(name, int, f"an integer from {low} to {high}"), low, high)

    def as_integer(self, low: int, high: int) -> int:
        """This entry itself as an integer from `low` to `high`."""
        if type(self.value) is not int or not low <= self.value <= high:
            raise self.reader.wrong(self.place, f"an integer from {low} to {high}", f"{self.value!a:.60}")
        return self.value

    def _range(self, name: str, value: int, low: int, high: int) -> int:
        if not low <= value <= high:
            raise self.wrong(name, f"an integer from {low} to {high}", value)
        return value

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        return Entry(self.reader, self.get(name, str, "text"), f"{self.place}.{name}".lstrip(".")).as_text(pattern)

    def as_text(self, pattern: re.Pattern[str] | None = None) -> str:
        """This entry itself as text that can be printed, and that `pattern` matches."""
        if not is_printable(self.value) or (pattern and not pattern.fullmatch(self.value)):
            wanted = f"text like {pattern.pattern}" if pattern else "printable text"
            raise self.reader.wrong(self.place, wanted, f"{self.value!a:.60}")
        return self.value

    def items(self, name: str) -> list[Entry]:
        """The entries of a list."""
        found = self.get(name, list, "a list")
        return [Entry(self.reader, v, f"{self.place}.{name}[{k}]".lstrip(".")) for k, v in enumerate(found)]

    def fields(self, name: str) -> list[tuple[str, Entry]]:
        """The entries of an object by their names, in order."""
        found = self.get(name, dict, "an object")
        if wrong := [k for k in found if not is_printable(k)]:
            raise self.wrong(name, "printable names", f"{wrong[0]!a:.60}")
        return [(k, Entry(self.reader, v, f"{self.place}.{name}.{k}".lstrip("."))) for k, v in found.items()]

    def integers(self, name: str, low: int, high: int, most: int) -> tuple[int, ...]:
        """The list of whole numbers under `name`, each from `low` to `high`, at most `most` of them."""
        found = self.get(name, list, "a list of integers")
        if len(found) > most or not all(type(v) is int for v in found):
            raise self.wrong(name, f"at most {most} integers", f"{found!a:.60}")
        return tuple(self._range(name, v, low, high) for v in found)

    def dtype(self, name: str) -> DType:
        """The dtype that is named under `name`."""
        text = self.text(name)
        try:
            return DType.of(text)
        except MiniccError:
            raise self.wrong(name, "the name of a dtype", f"{text:.60}") from None

    def tensor_type(self) -> TensorType:
        """The dtype and shape that `dtype` and `shape` say."""
        dtype, shape = self.dtype("dtype"), self.integers("shape", 0, MOST_DIM, MOST_RANK)
        size = dtype.bytes * math.prod(max(dim, 1) for dim in shape)
        if size > MOST_BYTES:  # NumPy refuses these even when one is 0
            wanted = f"dimensions that, but for those of 0, make at most {MOST_BYTES} bytes"
            raise self.wrong("shape", wanted, f"{size:.3g} bytes")
        return TensorType(dtype, shape)


class Manifest:
    """The entries of a manifest, and the errors about it."""

    def __init__(self, call: str, hint: str, content: bytes) -> None:
        self.call, self.hint = call, hint
        try:
            self.top = Entry(self, json.loads(content), "")
        except (ValueError, RecursionError) as error:
            raise LoadError(call, f"expected JSON, got none: {error}", where="manifest.json", hint=hint) from None

    def wrong(self, place: str, wanted: object, got: object) -> LoadError:
        return LoadError(self.call, f"expected {wanted}, got {got}", where=f"manifest.json: {place}", hint=self.hint)
