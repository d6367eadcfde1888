"""The jobs of one batch in the child that runs them: lowered one by one, compiled together, run one by one.

In: questions of `minicc.testing.worker`. Out: answers. A compiler is two functions: what lowers what a job is sent as, and
what compiles a list of lowered jobs to a function each, on arrays by name.

    jobs = Jobs(lower, compile_all)  # asked for as "module:jobs.lower", "module:jobs.compile", "module:jobs.run"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from minicc.bridge.frames import Arrays, Message

Lowered = TypeVar("Lowered")
Run: TypeAlias = Callable[[Arrays], Arrays]


class Jobs(Generic[Lowered]):
    """A batch, kept from one question to the next."""

    def __init__(
        self, lower: Callable[[Any, Arrays], Lowered], compile_all: Callable[[list[Lowered]], list[Run]]
    ) -> None:
        self._lower, self._compile = lower, compile_all
        self.lowered: list[Lowered] = []
        self.runs: list[Run] = []

    def lower(self, message: Any, arrays: Arrays) -> Message:
        """Lower job `message[0]`, which is sent as `message[1]` and the arrays; those of the same and higher numbers are forgotten."""
        number, sent = message
        del self.lowered[number:]
        self.lowered.append(self._lower(sent, arrays))
        return None, {}

    def compile(self, message: None, arrays: Arrays) -> Message:
        """Compile all that is lowered."""
        self.runs = self._compile(self.lowered)
        return len(self.runs), {}

    def run(self, number: int, arrays: Arrays) -> Message:
        """The outputs of a job by name."""
        return None, dict(self.runs[number](arrays))
