"""`minicc cache`: the compiled kernels that are kept on disk."""

from __future__ import annotations

from typing import Annotated

import typer

from minicc.cli.options import megabytes
from minicc.config import cache_dir, cache_kernels
from minicc.errors import printable
from minicc.runtime.kernel_cache import LIMIT, KernelCache, kernel_cache


def cache_command(clear: Annotated[bool, typer.Option("--clear", help="Remove them all.")] = False) -> None:
    """Where compiled kernels are kept, how many there are, and how much room they take.

    Examples:

        minicc cache
        minicc cache --clear
    """
    cache = KernelCache(cache_dir() / "kernels")
    if clear:
        print(f"removed {cache.clear()} kernels from {printable(cache.folder)}")
        return
    files = cache.files()
    size = sum(size for _, size, _ in files)
    print(f"{len(files)} kernels in {printable(cache.folder)}, {megabytes(size)} of at most {megabytes(LIMIT)}")
    if not cache_kernels():
        print("it is not used: MINICC_CACHE is off")
    elif kernel_cache() is None:
        print("it is not used: others may write to the folder, and its files are run")
