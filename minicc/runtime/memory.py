"""What a program needs, compared with the memory there is, before anything is allocated.

In: the bytes that are needed, by what for. Out: nothing, or a TooLargeError with the sizes. What there is:
the machine's memory and swap, or less where a control group or a resource limit says so. A program is
refused when it is made where it could never run here, and at a call where it cannot run now.

>>> check("exe(...)", {"inputs": 8, "outputs": 8}, free=16)
>>> check("exe(...)", {"inputs": 8, "outputs": 9}, free=16)
Traceback (most recent call last):
    ...
minicc.errors.TooLargeError: TooLargeError: exe(...): expected a need of at most 16 bytes of memory, got 17 bytes
    inputs 8 bytes, outputs 9 bytes
hint: use smaller sizes (--dim, input_shapes), or a machine with more memory
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from minicc.errors import TooLargeError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # Windows has none

SMALL = 64 << 20  # bytes; what needs no more is not asked for: reading the limits takes longer than a small call
UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB", "EB")
_ROOT = Path("/")


def check(call: str, needs: Mapping[str, int], free: int | None = None, where: str = "") -> None:
    """Raise TooLargeError when the sum of `needs` is more than `free` bytes; by default than what is free now."""
    total = sum(needs.values())
    if free is None:
        free = sys.maxsize if total <= SMALL else available()
    if total > free:
        parts = ", ".join(f"{name} {size(number)}" for name, number in needs.items() if number)
        problem = f"expected a need of at most {size(free)} of memory, got {size(total)}"
        hint = "use smaller sizes (--dim, input_shapes), or a machine with more memory"
        raise TooLargeError(call, problem, f"{parts}\n{where}".rstrip(), hint)


def size(count: int) -> str:
    """A number of bytes for people: three digits or so, and a unit."""
    power = 0
    while count >= 10 ** (3 * power + 3) and power + 1 < len(UNITS):
        power += 1
    return f"{count / 10 ** (3 * power):.4g} {UNITS[power]}"


def installed(root: Path = _ROOT) -> int:
    """The bytes that a process may ever have here: memory and swap, or the limit of its control groups."""
    found = _meminfo(root)
    return min(found.get("MemTotal", _pages()) + found.get("SwapTotal", 0), *_limits(root, used=False))


def available(root: Path = _ROOT) -> int:
    """The bytes that we may have now: what is free or can be freed, within the limits of control groups and process."""
    found = _meminfo(root)
    return max(
        0,
        min(
            found.get("MemAvailable", _pages()) + found.get("SwapFree", 0),
            *_limits(root, used=True),
            _address_space(root),
        ),
    )


def _meminfo(root: Path) -> dict[str, int]:
    try:
        rows = [line.split() for line in (root / "proc/meminfo").read_text().splitlines()]
    except OSError:  # not Linux
        return {}
    return {row[0].rstrip(":"): int(row[1]) << 10 for row in rows if len(row) > 1 and row[1].isdecimal()}


def _pages() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def _limits(root: Path, used: bool) -> list[int]:
    """The limits of the control groups we are in, versions 1 and 2, less what they use; a huge one where there is none."""
    found = [sys.maxsize]
    for folder, limit, usage in (
        (root / "sys/fs/cgroup", "memory.max", "memory.current"),
        (root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        most = _number(folder / limit)
        if most is not None:
            cache = _number_of(folder / "memory.stat", "inactive_file") if used else 0
            found.append(most - (_number(folder / usage) or 0) + cache if used else most)
    return found


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None  # else "max"


def _number_of(path: Path, name: str) -> int:
    """The number of a row `name NUMBER`."""
    try:
        rows = dict(line.split(maxsplit=1) for line in path.read_text().splitlines() if " " in line)
    except OSError:
        return 0
    return int(rows.get(name, "0"))


def _address_space(root: Path) -> int:
    """What the resource limit on addresses leaves of them."""
    if resource is None:
        return sys.maxsize
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    try:
        pages = int((root / "proc/self/statm").read_text().split()[0])
    except OSError:
        return limit
    return limit - pages * resource.getpagesize()
