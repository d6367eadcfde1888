"""The files that are handed in, read so that a folder can do no harm.

In: a folder of somebody's, and the names of files. Out: their bytes. Only what is named is read, no link is followed, and what is no
file, or too large, is refused.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath

from minicc.course.judging import Failed
from minicc.errors import printable

MOST_BYTES = 1 << 20  # of a file that is handed in
MOST_FOLDERS, MOST_ENTRIES = 20, 1000  # that are looked through for a file that is not there


def read_handed_in(folder: Path, file: str) -> bytes:
    """The bytes of a text file in a folder. Raises Failed."""
    parts = PurePosixPath(file).parts
    if not parts or ".." in parts or file.startswith("/"):
        raise Failed(f"{file}: expected a name within the folder")
    within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
            os.close(within)
            within = inner
        return _read(within, parts[-1], file)
    except OSError as error:
        raise Failed(f"{file}: {error.strerror or error}{_elsewhere(folder, parts[-1])}") from None
    finally:
        os.close(within)


def _elsewhere(folder: Path, name: str) -> str:
    """Where a file lies that may be meant: in other letters, or in a folder within."""
    for place in (folder, *islice((p for p in folder.glob("*") if p.is_dir() and not p.is_symlink()), MOST_FOLDERS)):
        with suppress(OSError), os.scandir(place) as entries:
            for entry in islice(entries, MOST_ENTRIES):
                if entry.name.lower() == name.lower():
                    return f"; did you mean {printable(Path(entry.path).relative_to(folder))!r}?"
    return ""


def _read(within: int, name: str, file: str) -> bytes:
    found = os.stat(name, dir_fd=within, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise Failed(f"{file}: expected a file, got {'a link' if stat.S_ISLNK(found.st_mode) else 'none'}")
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within), "rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Failed(f"{file}: expected at most {MOST_BYTES:,} bytes, got more")
    try:
        content.decode()
    except UnicodeDecodeError:
        raise Failed(f"{file}: expected text in UTF-8") from None
    return content
