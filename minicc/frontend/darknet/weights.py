"""The `.weights` of a Darknet network: a header, then the parameters of its layers, one after the other.

    file   ::= major: i32  minor: i32  revision: i32  seen  f32*       little-endian
    seen   ::= u64 from version 0.2 on, u32 before                     pictures of the training

In: the bytes or the path of a file, and how many parameters the `.cfg` has. Out: arrays. The size of the file must be
right to the byte, which is checked before anything is read but the header; so a layer never needs more memory than
the file has.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from minicc.errors import LoadError
from minicc.frontend.formats import HEAD, foreign, named
from minicc.graph.ir import Data
from minicc.ir.arrays import read_pages
from minicc.ops.base import Array
from minicc.paths import unreadable

VERSION = struct.Struct("<iii")
WIDE = 4  # bytes of a parameter
LARGE = 1 << 16  # bytes of an array that is not kept, if that is asked for


class WeightsFile:
    """An open `.weights` whose size fits: `take(shape)` is the next array."""

    def __init__(self, call: str, source: Path | bytes, expected: int) -> None:
        self.call, self.source = call, source
        self.name = "weights" if isinstance(source, bytes) else source.name
        if not isinstance(source, bytes) and (refused := unreadable(source, ".weights")):
            raise self.error(f"expected a file of weights, got {refused[0]}", refused[1])
        head, size = self._head()
        self.at = self._first(head, size)
        needed = self.at + WIDE * expected
        if size != needed:
            what = "fewer: it is cut off, or of another .cfg" if size < needed else "more: it is of another .cfg"
            problem = f"expected {needed:,} bytes, a header of {self.at} and {expected:,} parameters, got {size:,}"
            raise self.error(
                problem, f"the file has {what}; download it again, or give the .cfg that it was trained with"
            )

    def error(self, problem: str, hint: str) -> LoadError:
        return LoadError(self.call, problem, self.name, hint)

    def _head(self) -> tuple[bytes, int]:
        """How the file begins, and its size."""
        if isinstance(self.source, bytes):
            return self.source[:HEAD], len(self.source)
        return self._read(0, HEAD).tobytes(), self.source.stat().st_size

    def _first(self, head: bytes, size: int) -> int:
        """Where the parameters begin."""
        text = named(head, "") if size and not head[:1].isspace() else None
        if found := foreign(head) or text:
            raise self.error(f"expected Darknet weights, got {found[0]}", "download the .weights itself")
        if size < VERSION.size + 4:
            raise self.error(f"expected a header of 16 or 20 bytes, got {size} bytes", "download the file again")
        major, minor, _ = VERSION.unpack_from(head)
        if not (0 <= major < 1000 and 0 <= minor < 1000):  # above, matrices of [connected] are stored transposed
            problem = f"expected a version such as 0.2, got {major}.{minor}"
            raise self.error(problem, "is this a .weights file? Darknet before 2016 and big-endian ones are not read")
        return VERSION.size + (8 if major * 10 + minor >= 2 else 4)

    def take(self, shape: Sequence[int], keep: bool) -> Data:
        """The next parameters; read again at each use if they need not be kept, and are many."""
        offset, size = self.at, WIDE * math.prod(shape)
        self.at += size
        again = partial(self._array, offset, size, tuple(shape))
        stays = keep or isinstance(self.source, bytes) or size < LARGE
        return Data(again(), None if stays else again)

    def _array(self, offset: int, size: int, shape: tuple[int, ...]) -> Array:
        found = self._read(offset, size)
        if found.size < size:
            raise self.error(
                f"expected {size} bytes at {offset}, got {found.size}", "the file has changed: load it again"
            )
        return found.view("<f4").astype(np.float32, copy=False).reshape(shape)

    def _read(self, offset: int, size: int) -> Array:
        if isinstance(self.source, bytes):
            return np.frombuffer(self.source[offset : offset + size], np.uint8)
        try:
            with self.source.open("rb") as file:
                file.seek(offset)
                return read_pages(file, size)
        except OSError as error:
            raise self.error(
                f"expected a file that can be read, got: {error.strerror}", "copy it to a disk of yours"
            ) from None
