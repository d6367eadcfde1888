"""The exception tree, and how a culprit is underlined.

Every error a user can meet has four parts, in this order: the call; what was expected and what
was got; where (printed IR with a caret, or the node of the model); a hint that says how to go on.

>>> print(ScheduleError('split("i", factor=7)', "factor must divide the extent of loop i (128)",
...                     where=caret("for i in range(128):", "i"), hint='tail="guard"'))
ScheduleError: split("i", factor=7): factor must divide the extent of loop i (128)
    for i in range(128):
        ^ here
hint: tail="guard"

What a file brings (names, paths, texts) may hold anything: `printable` makes one line of it that a terminal shows and
does not obey, `plain_lines` leaves the ends of lines. Errors do so themselves, and leave the middle of very long lines out.
"""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Collection, Iterable
from pathlib import Path


def printable(text: object) -> str:
    r"""Text as one line, with an escape for each character that a terminal may obey or hide, or cannot show.

    >>> print(printable("a\x1b[31m\nok: 1\u202e"))
    a\x1b[31m\nok: 1\u202e
    """
    shown = str(text)
    return shown if shown.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def plain_lines(text: object) -> str:
    """Text of several lines, each of them `printable`; tabs stay, as assembly has them."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in str(text).split("\n"))


class MiniccError(Exception):
    """Base of every error that minicc raises on purpose.

    `call` is what the user asked for, `problem` says expected and got with values, `where` is
    printed IR or the node of the model (may be several lines), `hint` is the way out.
    """

    has_lines = False  # whether `problem` ends with what another program said, which may be several lines

    def __init__(self, call: str, problem: str, where: str = "", hint: str = "") -> None:
        super().__init__(call, problem, where, hint)
        self.call, self.problem, self.where, self.hint = call, problem, where, hint

    def __str__(self) -> str:
        problem = (plain_lines if self.has_lines else printable)(self.problem)
        lines = [f"{type(self).__name__}: {cut(printable(self.call))}: {cut(problem)}"]
        lines += [f"    {cut(line)}" for line in plain_lines(self.where.rstrip("\n")).split("\n") if self.where]
        if self.hint:
            lines.append(f"hint: {cut(printable(self.hint))}")
        return "\n".join(lines)


LONGEST = 4000  # characters of a part of an error, or of a line of its place


def cut(text: str) -> str:
    """Text without the middle of it, where it is longer than `LONGEST`."""
    half = LONGEST // 2
    left_out = f" ... ({len(text) - LONGEST:,} characters) ... "
    return text if len(text) <= LONGEST else text[:half] + left_out + text[-half:]


class TypeInferenceError(MiniccError):
    """An operator cannot take inputs of these dtypes or shapes."""


class GraphError(MiniccError):
    """A graph is malformed: a cycle, a missing input, a name used twice, text that does not parse."""


class LoadError(MiniccError):
    """A model file cannot be read: garbage, an unknown operator, data outside its folder."""


class TeError(MiniccError):
    """A tensor expression is malformed."""


class LoopError(MiniccError):
    """A loop program breaks a rule: out of bounds, use before definition, a race."""


class ScheduleError(MiniccError):
    """A schedule step is not legal here."""


class CodegenError(MiniccError):
    """A loop program has no machine code on this target."""


class TargetError(MiniccError):
    """A target is unknown or lacks what was asked of it."""


class RunError(MiniccError):
    """A compiled model was called with the wrong inputs."""


class TooLargeError(MiniccError):
    """A program needs more memory than there is."""


class SerialWarning(MiniccError, RuntimeWarning):
    """Parallel loops run serially. A warning; an error of four parts where warnings are errors."""


class FallbackWarning(MiniccError, RuntimeWarning):
    """A part of a program runs in the library that it comes from. A warning, as above."""


class BridgeError(MiniccError):
    """TVM, CUDA or a device cannot do what was asked: it is absent, of another version, or lacks an operator."""


class WorkerError(MiniccError):
    """A process that is needed did not start: no answer of any kind, so never a wrong one."""


class ConfigError(MiniccError):
    """An option or an environment variable has no valid value."""


class Task(MiniccError, NotImplementedError):
    """A part that is left to the reader, who writes it where this is raised: `raise Task("3.1", "cut a loop in two")`.

    Where there is a slow right way to go on, a compilation takes it, and warns (`OpenTaskWarning`).
    """

    def __init__(self, name: str, what: str = "") -> None:
        super().__init__(f"task {name}", what or "a part that is left to you", hint="write it where this is raised")
        self.name = name

    def __reduce__(self) -> tuple[type[Task], tuple[str, str]]:
        return Task, (self.name, self.problem)


class OpenTaskWarning(MiniccError, RuntimeWarning):
    """A part is a `Task` still; something slower took its place. A warning, as above."""


def endless(path: Path) -> str:
    """What stands at `path`, if reading it may never end: "a pipe", "a socket", "a device"; "" otherwise."""
    kinds = {stat.S_IFREG: "", stat.S_IFDIR: "", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    try:
        return kinds.get(stat.S_IFMT(path.stat().st_mode), "a device")
    except (OSError, ValueError):  # nothing is there; who reads it says so
        return ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of `known` that `name` was meant to be, by its spelling, upper and lower case aside; "" if none is near."""
    folded = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(str(name).casefold(), folded, 1)
    return folded[found[0]] if found else ""


def misnamed(given: Collection[str], known: Collection[str], hint: str = "") -> tuple[str, str]:
    """How the names in a call differ from those that it must have, and a hint; two empty texts if they do not.

    >>> misnamed(["X", "y"], ["x", "y"])
    ("missing: 'x'; unknown: 'X'", "did you mean 'x' by 'X'?")
    """
    all_given, all_known = set(given), set(known)
    missing, unknown = [k for k in known if k not in all_given], [g for g in given if g not in all_known]
    both = {"missing": missing, "unknown": unknown}
    parts = [f"{what}: {', '.join(map(repr, names))}" for what, names in both.items() if names]
    near = [f"{found!r} by {name!r}" for name in unknown[:3] if (found := nearest(name, missing or known))]
    return "; ".join(parts), f"did you mean {', '.join(near)}?" if near else hint


def caret(text: str, name: str) -> str:
    """Underline the first whole-word occurrence of `name` in `text`; `text` unchanged if absent."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if found := re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", line):
            return "\n".join([*lines[: number + 1], " " * found.start() + "^ here", *lines[number + 1 :]])
    return text
