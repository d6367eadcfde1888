"""Reading the plan of a bundle: JSON of which nothing is believed before it is checked.

In: the bytes of plan.json. Out: `Entry` objects whose accessors give values of the type and range
that they ask for, or raise a BridgeError that names the place, as `steps[3].launches[0].grid`.

    top = PlanReader("load('x.tar')", "make it again", b'{"version": 1}').top
    top.integer("version", 0, 9)    # 1
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeGuard

from minicc.errors import BridgeError, MiniccError
from minicc.types import DType, TensorType

MOST_RANK, MOST_DIM, MOST_TEXT = 64, 1 << 40, 4096
MOST_BYTES = 1 << 40  # of one buffer, and of a tensor whose dimensions of 0 were 1


def is_printable(value: object) -> TypeGuard[str]:
    """Whether it is text, not too long, that prints as itself: no control characters, no halves of surrogate pairs."""
    return isinstance(value, str) and len(value) <= MOST_TEXT and value.isprintable()


class Entry:
    """A JSON value, and where in the plan it stands."""

    def __init__(self, reader: PlanReader, value: Any, place: str) -> None:
        self.reader, self.value, self.place = reader, value, place

    def wrong(self, name: str, wanted: object, got: object) -> BridgeError:
        return self.reader.wrong(f"{self.place}.{name}".lstrip("."), wanted, got)

    def get(self, name: str, kind: type, word: str) -> Any:
        """The field `name`, which must be of type `kind`."""
        if not isinstance(self.value, dict):
            raise self.reader.wrong(self.place or "the plan", "an object", type(self.value).__name__)
        value = self.value.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(name, word, "nothing" if value is None else f"{value!a:.60}")
        return value

    def has(self, name: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def integer(self, name: str, low: int, high: int) -> int:
        return self._range(name, self.get(name, int, f"an integer from {low} to {high}"), low, high)

    def _range(self, name: str, value: int, low: int, high: int) -> int:
        if not low <= value <= high:
            raise self.wrong(name, f"an integer from {low} to {high}", value)
        return value

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        return Entry(self.reader, self.get(name, str, "text"), f"{self.place}.{name}".lstrip(".")).as_text(pattern)

    def as_text(self, pattern: re.Pattern[str] | None = None) -> str:
        """This entry itself as text that can be printed, and that `pattern` matches."""
        if not is_printable(self.value) or (pattern and not pattern.fullmatch(self.value)):
            raise self.reader.wrong(
                self.place, f"text like {pattern.pattern}" if pattern else "printable text", f"{self.value!a:.60}"
            )
        return self.value

    def items(self, name: str) -> list[Entry]:
        return [
            Entry(self.reader, v, f"{self.place}.{name}[{k}]".lstrip("."))
            for k, v in enumerate(self.get(name, list, "a list"))
        ]

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
        if (
            size := dtype.bytes * math.prod(max(dim, 1) for dim in shape)
        ) > MOST_BYTES:  # NumPy refuses these even when one is 0
            raise self.wrong(
                "shape", f"dimensions that, but for those of 0, make at most {MOST_BYTES} bytes", f"{size:.3g} bytes"
            )
        return TensorType(dtype, shape)


class PlanReader:
    """The entries of a plan, and the errors about it."""

    def __init__(self, call: str, hint: str, content: bytes) -> None:
        self.call, self.hint = call, hint
        try:
            self.top = Entry(self, json.loads(content), "")
        except (ValueError, RecursionError) as error:
            raise BridgeError(call, f"expected JSON, got none: {error}", where="plan.json", hint=hint) from None

    def wrong(self, place: str, wanted: object, got: object) -> BridgeError:
        return BridgeError(self.call, f"expected {wanted}, got {got}", where=f"plan.json: {place}", hint=self.hint)
