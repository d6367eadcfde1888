"""Dimensions that a model file leaves open, as symbols with names that are fit for printing.

>>> Symbols().of("batch size"), Symbols().of("x:0_0", given=False)
(batch_size, x_0_0)
"""

from __future__ import annotations

import re
from collections import Counter

from minicc.types import Symbol


class Symbols:
    """Symbols by the name that the file gives; made fit for printing, and still distinct."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, bool], Symbol] = {}
        self.taken: set[str] = set()
        self.counts: Counter[str] = Counter()

    def of(self, name: str, given: bool = True) -> Symbol:
        """The symbol of a name that the file gives, or (`given` false) of one that we made up."""
        if (name, given) not in self.found:
            plain = re.sub(r"\W", "_", name, flags=re.ASCII)
            fresh = plain = plain if plain[0].isalpha() else f"n{plain}"
            while fresh in self.taken:
                self.counts[plain] += 1
                fresh = f"{plain}_{self.counts[plain] + 1}"
            self.taken.add(fresh)
            self.found[name, given] = Symbol(fresh)
        return self.found[name, given]
