"""Where the time of a call goes: the seconds of each kernel, beside what the machine would allow.

In: an executable and its inputs. Out: a `Profile`: the median of each kernel over warm runs, when each began in one of them, and the
share of the machine's limits that it reached (`minicc.runtime.roofline`), which are measured before and after.

    found = profile(exe, [x])
    found.rows[0].name, found.rows[0].share     # the slowest kernel, and how near to the limit it is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from minicc.ir.drawn import Drawn
from minicc.runtime.executable import Executable
from minicc.runtime.image import KernelInfo
from minicc.runtime.load import Watch
from minicc.runtime.plan import ArenaPlan
from minicc.runtime.roofline import Roofline
from minicc.runtime.stamps import medians, usual
from minicc.target import Target

TICK = 1e-9  # seconds: the resolution of the clock
EFFECTIVE = "effective GFLOP/s"


@dataclass(frozen=True)
class KernelRow:
    """A distinct kernel of an executable: how often it is called, the sums over its calls, and its share of the limits."""

    name: str
    calls: int
    flops: int
    bytes: int
    seconds: float = 0.0
    effective: int = 0
    share: float = 0.0


@dataclass(frozen=True)
class Profile(Drawn):
    """`rows`: the distinct kernels, the slowest first. `calls`, `seconds`: every call in order, with its median. `starts`: when each
    began in a usual run, and when the last ended. `notes`: what makes the figures doubtful. Of a device there is no roofline."""

    name: str
    processor: str
    threads: int
    rows: Sequence[KernelRow]
    calls: Sequence[KernelInfo] = ()
    seconds: Sequence[float] = ()
    starts: Sequence[float] = (0.0,)
    roofline: Roofline | None = None
    memory: ArenaPlan | None = None
    notes: Sequence[str] = ()

    @property
    def total(self) -> float:
        """Seconds in kernels; never 0."""
        return max(sum(k.seconds for k in self.rows), TICK)

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """The heads of columns, and a row for each kernel; what nothing is known of has no column."""
        rows = [[k.name, k.calls, f"{k.seconds * 1e6:.1f}", f"{k.seconds / self.total:.1%}", _rate(k.flops, k.seconds), _rate(k.bytes, k.seconds),
                 f"{k.share:.0%}", _rate(k.effective, k.seconds) if k.effective else ""] for k in self.rows]  # fmt: skip
        head = ["kernel", "calls", "us", "share", "GFLOP/s", "GB/s", "of roofline", EFFECTIVE]
        columns = 4 if self.roofline is None else 8 if any(k.effective for k in self.rows) else 7
        return head[:columns], [row[:columns] for row in rows]

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        calls = zip(self.calls, self.seconds, self.starts, strict=False)
        return {
            "model": self.name, "processor": self.processor, "threads": self.threads, "seconds": sum(self.seconds),
            "kernels": [asdict(row) for row in self.rows],
            "calls": [{"kernel": k.symbol or k.label, "label": k.label, "start": start, "seconds": t} for k, t, start in calls],
            "end": self.starts[-1], "limits": self.roofline.limits() if self.roofline else {},
            "memory": asdict(self.memory) if self.memory else None, "notes": list(self.notes),
        }  # fmt: skip


def _rate(count: float, seconds: float) -> str:
    """In units of 10**9 a second."""
    return f"{count / max(seconds, TICK) / 1e9:.1f}"


def kernel_rows(calls: Sequence[KernelInfo], seconds: Sequence[float] | None = None) -> list[KernelRow]:
    """The distinct kernels in order of first call; with `seconds` of each call, the slowest first."""
    found: dict[str, list[tuple[KernelInfo, float]]] = {}
    for kernel, taken in zip(calls, seconds or [0.0] * len(calls), strict=True):
        found.setdefault(kernel.symbol or kernel.label, []).append((kernel, taken))
    rows = [KernelRow(name, len(some), sum(k.flops for k, _ in some), sum(k.bytes for k, _ in some), sum(t for _, t in some),
                      sum(k.effective for k, _ in some))
            for name, some in found.items()]  # fmt: skip
    return sorted(rows, key=lambda r: -r.seconds) if seconds else rows


def profile(made: Executable, arrays: Sequence[Any], *, processor: str = "", limits: bool = True) -> Profile:
    """Time each kernel of `made`, between two measurements of what this machine can do, unless its `limits` say nothing of it, as of a
    device. Raises RunError where an input does not fit."""
    made(*arrays)  # kernels may be made by the first call
    target = Target.native().with_threads(made.threads)
    watch, roofline = Watch(), Roofline(target, [k.bytes for k in made.kernels]) if limits else None
    stamps = made.stamps(*arrays)
    calls, seconds, notes = tuple(made.kernels), medians(stamps), []
    rows = kernel_rows(calls, seconds)
    if roofline:
        each = [(k.flops // k.calls, k.bytes // k.calls, k.seconds / k.calls) for k in rows]
        notes = [roofline.settle(each), watch.note()]
        rows = [replace(row, share=roofline.share(*k)) for row, k in zip(rows, each, strict=True)]
    told = tuple(note for note in notes if note)
    starts = tuple(usual(stamps).tolist())
    return Profile(
        made.name, processor or target.cpu, made.threads, rows, calls, seconds, starts, roofline, made.memory_plan, told
    )
