"""Files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from minicc.errors import ConfigError


def check_folder(path: Path) -> None:
    """Raise ConfigError, before any work is done, when `path` has no folder that we may write in, or is one."""
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        problem = f"{path} is a folder" if path.is_dir() else f"cannot write in {path.parent}"
        raise ConfigError(f"write {path}", f"expected the name of a new file, got one that cannot be written: {problem}",
                          hint="name a file in a folder that exists and is yours")


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing it at once. Raises ConfigError when that is not possible."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"write {path}", f"cannot write in {path.parent}: {error.strerror}",
                          hint="name a folder that exists and is yours") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ConfigError(f"write {path}", str(error.strerror), hint="is it a folder, or the disk full?") from None
        raise
