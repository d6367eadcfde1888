"""Arrays as data of a graph: compared by content, and written by nobody.

In: an array, of any library. Out: `Data`, which a `Constant` holds.

>>> Data([1.0, 2.0]) == Data(np.float64([1, 2])), Data([0.0]) == Data([-0.0])
(True, False)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from minicc.errors import GraphError, MiniccError
from minicc.ir.arrays import Array, frozen, plain
from minicc.types import TensorType

SAMPLES = 251  # bytes of an array that its hash reads


class Data:
    """An array that compares by content: dtype, shape and bits. Its memory is its own, and nobody can write it.

    Weights are large and many, so what tells them apart is a hash of a few of their bytes, and a comparison of all where
    these are equal. The digest, which stands for an array in the text form, is made when somebody reads it. One that
    `again` gives is not kept: the weights of a file need no memory beside the form in which a compiled model has them.
    """

    __slots__ = ("_again", "_array", "_digest", "_hash", "type")

    def __init__(self, array: Any, again: Callable[[], Array] | None = None) -> None:
        held = frozen(plain(array, lambda problem, hint: GraphError("constant(array)", problem, hint=hint)))
        self._again, self._array, self._digest = again, None if again else held, ""
        self.type = TensorType.of(held)
        bits = _bits(held)
        self._hash = hash((self.type, bits[:: max(bits.size // SAMPLES, 1)].tobytes(), bits[-8:].tobytes()))

    @property
    def array(self) -> Array:
        """The elements; made again where they are not kept."""
        found = self._array if self._array is not None else self._again and self._again()
        assert found is not None
        return found

    @property
    def digest(self) -> str:
        """A hash of the content, the same in every process."""
        if not self._digest:
            array = self.array
            content = hashlib.blake2b(f"{array.dtype}{array.shape}".encode(), digest_size=12)
            content.update(_bits(array).data)
            self._digest = content.hexdigest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Data):
            return self is other
        if self._hash != other._hash or self.type != other.type:
            return False
        try:
            equal = np.array_equal(_bits(self.array), _bits(other.array))
        except MiniccError:  # the file that one is read from is gone, which is nothing to the graph of the other
            return False
        if equal and (self._array is None or other._array is None):  # equal nodes are one, and may outlive a file
            self._array = other._array = self._array if self._array is not None else other._array
        return equal

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Data, (self.array,)

    def __repr__(self) -> str:
        return f"@{self.digest}"


def _bits(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)
