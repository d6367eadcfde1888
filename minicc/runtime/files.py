"""Files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from minicc.errors import ConfigError


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
