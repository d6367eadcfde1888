"""Compiled kernels on disk: found again by all that made them.

    key (text) --find--> KernelCode, or None            key, KernelCode --keep--> a file

A file is named by a hash of its key and holds the key as a whole, which is compared. It is written under another name
and renamed, so nobody sees half of one, and two who write the same at once do no harm; its checksum tells what a crash
or a bad disk left. A file that is damaged, or of another key, is as if it were not there, and is replaced. Those that
were not used for longest go when all are more than LIMIT bytes. A folder that is not ours alone is not used: what is in
it would be run.

    magic, checksum of the rest, length of the head, head (JSON: the key, and what is known of the kernel), object code
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from minicc import config
from minicc.runtime.jit import VERSION
from minicc.target import Target

ROOT = Path(__file__).parents[1]
LIMIT = 1 << 29  # bytes of all files
MAGIC = b"minicc kernel 1\n"
CHECKSUM = 16  # bytes
ABANDONED = 3600  # seconds after which an unfinished file of another process is that of a dead one


@dataclass(frozen=True)
class KernelCode:
    """A compiled kernel as plain data: what an image needs to call it, and what is told of it.

    `object` defines the function PLACEHOLDER of `runtime.jit`, whose arguments have `sizes` in bytes, inputs first.
    """

    object: bytes
    inputs: int
    sizes: tuple[int, ...]
    workspace: int
    flops: int = 0
    bytes: int = 0
    effective: int = 0


class KernelCache:
    """The compiled kernels in a folder, which is made when the first one is kept."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit

    def find(self, key: str) -> KernelCode | None:
        """The code of the kernel of this key, if it is there."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            found = _read(content, key)
            if found is not None:
                os.utime(path)  # used now
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    def keep(self, key: str, code: KernelCode) -> None:
        """Keep it, where that is possible: a full disk or a folder that cannot be written is no error."""
        temporary = ""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".new.")
            with os.fdopen(handle, "wb") as file:
                file.write(_written(key, code))
            path = Path(temporary).replace(self._path(key))
        except OSError:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            return
        if path.name.startswith("00"):  # one in 256: to look at many files takes longer than to compile a kernel
            self.trim()

    def files(self) -> list[tuple[float, int, Path]]:
        """When each file was used last, its size and its path, the oldest first."""
        found = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    try:
                        stat = entry.stat(follow_symlinks=False)
                    except OSError:  # gone meanwhile
                        continue
                    found.append((stat.st_mtime, stat.st_size, Path(entry.path)))
        except OSError:
            return []
        return sorted(found)

    def trim(self) -> None:
        """Remove what was not used for longest until a quarter is free, if there is too much; and what was never finished."""
        files, now = self.files(), time.time()
        total = sum(size for _, size, _ in files)
        room = self.limit if total <= self.limit else self.limit * 3 // 4
        for used, size, path in files:
            unfinished = path.name.startswith(".new.")
            if (unfinished and now - used > ABANDONED) or (not unfinished and total > room):
                _remove(path)
                total -= size

    def clear(self) -> int:
        """Remove all files. Gives how many there were."""
        files = self.files()
        for _, _, path in files:
            _remove(path)
        return len(files)

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.blake2b(key.encode(), digest_size=20).hexdigest()


@lru_cache(maxsize=1)
def sources() -> str:
    """A hash of minicc's own sources; empty where they are not files."""
    found = hashlib.blake2b(digest_size=16)
    paths = sorted(ROOT.rglob("*.py"))
    for path in paths:
        content = path.read_bytes()
        found.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest() if paths else ""


def versions(target: Target) -> list[str]:
    """What any key begins with: who compiles, and for what."""
    return [f"minicc {sources()}", f"LLVM {VERSION}", repr(target)]


def kernel_cache() -> KernelCache | None:
    """The cache that the environment names; None where it is turned off, or others may write to its folder."""
    if not config.cache_kernels() or not sources():
        return None
    folder = config.cache_dir() / "kernels"
    try:
        stat = folder.stat()
    except OSError:
        return KernelCache(folder)
    private = not hasattr(os, "getuid") or (stat.st_uid == os.getuid() and not stat.st_mode & 0o022)
    return KernelCache(folder) if private else None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # of somebody else; a folder
        return


def _written(key: str, code: KernelCode) -> bytes:
    told = asdict(code)
    content: bytes = told.pop("object")
    head = json.dumps({"key": key, **told}).encode()
    rest = len(head).to_bytes(8, "little") + head + content
    return MAGIC + hashlib.blake2b(rest, digest_size=CHECKSUM).digest() + rest


def _read(content: bytes, key: str) -> KernelCode | None:
    """The kernel in a file; None where the file is damaged, or of another key."""
    start = len(MAGIC) + CHECKSUM
    rest = memoryview(content)[start:]
    if content[: len(MAGIC)] != MAGIC:
        return None
    if content[len(MAGIC) : start] != hashlib.blake2b(rest, digest_size=CHECKSUM).digest():
        return None
    end = 8 + int.from_bytes(rest[:8], "little")
    told = json.loads(bytes(rest[8:end]))
    if told.pop("key") != key:
        return None
    return KernelCode(object=bytes(rest[end:]), **{**told, "sizes": tuple(told["sizes"])})
