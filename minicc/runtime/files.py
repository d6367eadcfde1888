"""Files that are whole or not there: written under a temporary name, then renamed. And files of arrays.

In: a path, and bytes or arrays by name. Out: the file; and arrays by name again, of any name that a
model may use and of every dtype, bfloat16 included, which NumPy's files have not.

    write_arrays(Path("y.npz"), {"y": array})
    read_arrays(Path("y.npz"), {"y": bfloat16})     # {"y": array}
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minicc.errors import ConfigError, RunError
from minicc.paths import unreadable, unwritable
from minicc.types import DType, bfloat16

Array = np.ndarray[Any, np.dtype[Any]]
_REMEDIES = {
    errno.ENOSPC: "the disk is full: make room, or name a file on another disk",
    errno.EDQUOT: "your quota is used up: make room",
    errno.EROFS: "the disk is read-only: name a file on another one",
    errno.ENAMETOOLONG: "give the file a shorter name",
}
LONGEST_NAME = 60_000  # bytes; the format of archives ends at 65,535


def check_folder(path: Path) -> None:
    """Raise ConfigError, before any work is done, when `path` has no folder that we may write in, or is one."""
    if refused := unwritable(path):
        problem = f"expected the name of a new file, got one that cannot be written: {refused[0]}"
        raise ConfigError(f"write {path}", problem, hint=refused[1])


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where there is none. Raises ConfigError when that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else str(error)
        problem = f"expected the name of a folder, got one that cannot be made: {why}"
        hint = _REMEDIES.get(getattr(error, "errno", 0) or 0, "name another folder")
        raise ConfigError(f"make the folder {path}", problem, hint=hint) from None


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that stands at `path` when the block is done, in place of what was there. Raises ConfigError when it cannot be written."""
    check_folder(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        problem = f"expected to write a file in {path.parent.resolve()}, got: {error.strerror}"
        hint = _REMEDIES.get(error.errno or 0, "name a file in another folder")
        raise ConfigError(f"write {path}", problem, hint=hint) from None


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing it at once. Raises ConfigError when that is not possible."""
    with new_file(path) as file:
        file.write(content)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an .npz that `read_arrays` and NumPy read; bfloat16 as its bits, uint16.

    Raises ConfigError when a name has no form in an archive, an array holds objects, or the file cannot be written.
    """
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, array in arrays.items():
            encoded = name.encode(errors="replace")
            if "\0" in name or encoded.decode() != name or len(encoded) > LONGEST_NAME:
                problem = f"expected names that an archive can hold, got {name!r:.60}"
                raise ConfigError(f"write {path}", problem, hint="rename it in the model")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                try:
                    np.lib.format.write_array(member, _storable(np.asarray(array)), allow_pickle=False)
                except ValueError as error:
                    problem = f"expected arrays of numbers, got {name}: {error}"
                    raise ConfigError(f"write {path}", problem, hint="objects are not written") from None
    write_file(path, held.getvalue())


def _storable(array: Array) -> Array:
    return array.view(np.uint16) if array.dtype == bfloat16.numpy else array


def read_arrays(path: Path, dtypes: Mapping[str, DType] | None = None, option: str = "--inputs") -> dict[str, Array]:
    """The arrays of an .npz by name, or of an .npy; never unpickles, never extracts to disk.

    An .npy has no name: where `dtypes` has a single one, it is that. An array for which `dtypes` wants bfloat16
    is read from its bits. Raises RunError, which names `option`, when the file cannot be read.
    """
    wanted = dtypes or {}
    if refused := unreadable(path, ".npz"):
        problem = f"expected a file of arrays, got {refused[0]}"
        raise RunError(f"{option} {path}", problem, hint=f"{refused[1]}; numpy.savez writes one")
    try:
        if not zipfile.is_zipfile(path):
            name = next(iter(wanted)) if len(wanted) == 1 else path.stem
            arrays: dict[str, Array] = {name: np.load(path, allow_pickle=False)}
        else:
            with zipfile.ZipFile(path) as archive:
                arrays = {name.removesuffix(".npy"): _member(archive, name) for name in archive.namelist()}
    except Exception as error:  # archives break in many ways, each with an exception of its own
        problem = f"expected arrays, got a file that cannot be read: {error}"
        hint = "give an .npz with one array per input, as numpy.savez writes it"
        raise RunError(f"{option} {path}", problem, hint=hint) from None
    return {name: _restored(array, wanted.get(name)) for name, array in arrays.items()}


def _member(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as member:
        found: Array = np.lib.format.read_array(member, allow_pickle=False)
        return found


def _restored(array: Array, wanted: DType | None) -> Array:
    """The array as bfloat16 if that is wanted and it may be the bits of one: uint16, or the two bytes without a type of numpy.savez."""
    bits = array.dtype in (np.dtype("u2"), np.dtype("V2"))
    return array.view(bfloat16.numpy) if bits and wanted is bfloat16 else array
