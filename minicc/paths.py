"""What to say of a path that cannot be read or written: what stands there, which part is missing, and what is near.

In: a path, and what was wanted. Out: texts for errors: "got ..." and a hint. Nothing is opened, but folders are listed.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Collection, Iterable
from pathlib import Path

from minicc.errors import LoadError, endless, nearest

MOST_NAMES = 5  # of files that a hint lists


def listed(names: Iterable[str]) -> str:
    """The first few of some file names, in order."""
    found = sorted(names)
    return ", ".join(map(repr, found[:MOST_NAMES])) + ", ..." * (len(found) > MOST_NAMES)


def entries(folder: Path) -> list[str]:
    """The names in a folder; none when it cannot be listed."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except (OSError, ValueError):
        return []


def unreadable(path: Path, suffix: str) -> tuple[str, str] | None:
    """Why there is no file to read at `path`, as "a folder", and a hint that names files with `suffix` nearby; None when there may be one."""
    if why := _impossible(path):
        return f"a name that {why}", "give the path of a file that exists"
    if path.is_dir():
        return "a folder", _offer(path, suffix)
    if kind := endless(path):
        return kind, "save it in a file, and give that"
    if path.is_symlink() and not path.exists():
        hint = "point the link at a file, or give the path of that file"
        return f"a link to {str(path.readlink())!r}, which leads to no file", hint
    if first := _first_missing(path):
        if not first.parent.is_dir():
            return _nothing(first), f"give a file in a folder; or is it {str(first.parent)!r} that is meant?"
        near = _near(path, first, {suffix, path.suffix} if first == path else set())
        return _nothing(first), near or _offer(first.parent, suffix)
    if path.exists() and not os.access(path, os.R_OK):
        return "one that you may not read", f"chmod u+r {shlex.quote(str(path))}, or copy it to a folder of yours"
    return None


def unwritable(path: Path) -> tuple[str, str] | None:
    """Why no file can be made at `path`, and a hint; None when one can."""
    folder = path.parent
    if why := _impossible(path):
        return f"the name {why}", "give a short name made of letters and digits"
    if kind := "a folder" if path.is_dir() else endless(path):
        hint = f"name a file, as in {path / 'out'}" if path.is_dir() else "name a file that does not exist"
        return f"{path} is {kind}", hint
    if first := _first_missing(folder):
        make = f"mkdir -p {shlex.quote(str(folder))}" if first.parent.is_dir() else "name another folder"
        hint = f"{make}; {_near(path, first, set())}".rstrip("; ")
        return f"the folder {folder} does not exist: {_nothing(first)}", hint
    if not folder.is_dir():
        return f"{folder} is a file, no folder", "name another folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        hint = f"chmod u+w {shlex.quote(str(folder))} if it is yours, or name a file elsewhere, as in /tmp/{path.name}"
        return f"the folder {folder.resolve()} is read-only for you: you may not write in it", hint
    return None


def _impossible(path: Path) -> str:
    """Why no file can have this name; "" when one can."""
    try:
        path.lstat()
    except ValueError:
        return f"has a character that no path has: {str(path)[:80]!r}"
    except OSError as error:
        return f"is too long: {str(path)[:40]!r}..." if error.errno == errno.ENAMETOOLONG else ""
    return ""


def _first_missing(path: Path) -> Path | None:
    """The first part of `path` that is not there; None when all are."""
    return next((part for part in (*reversed(path.parents), path) if not os.path.lexists(part)), None)


def _nothing(first: Path) -> str:
    folder = first.parent
    known = folder.is_dir()
    return (
        f"nothing called {first.name!r} in {folder.resolve()}" if known else f"nothing below {folder}, which is a file"
    )


def _near(path: Path, first: Path, suffixes: Collection[str]) -> str:
    """A question for the path with a part that is spelt like `first`, the first that is missing; "" when there is none.

    That part is a file with one of `suffixes`, or a folder if there are none.
    """
    names = entries(first.parent)
    folders = [] if suffixes else [name for name in names if (first.parent / name).is_dir()]
    near = nearest(first.name, [name for name in names if Path(name).suffix in suffixes] if suffixes else folders)
    return f"did you mean {str(first.parent / near / path.relative_to(first))!r}?" if near else ""


def _offer(folder: Path, suffix: str) -> str:
    """A hint that names the files with `suffix` in `folder`."""
    found = [name for name in entries(folder) if name.endswith(suffix)]
    if found:
        return f"give a file: in {folder} there is {listed(found)}"
    others = [name for name in entries(folder) if not name.startswith(".")]
    return f"no {suffix} file is in {folder}, which " + (f"holds {listed(others)}" if others else "is empty")


def read_start(path: Path, suffix: str, most: int, call: str, what: str) -> bytes:
    """The first `most` bytes of a file, or one more, so that who asks sees that it is longer. Raises LoadError."""
    if refused := unreadable(path, suffix):
        raise LoadError(call, f"expected {what}, got {refused[0]}", str(path), refused[1])
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        got = "one" if what == "a file" else "a file"
        problem = f"expected {what}, got {got} that cannot be read: {error.strerror}"
        raise LoadError(call, problem, str(path), "copy the file to a disk of yours") from None
