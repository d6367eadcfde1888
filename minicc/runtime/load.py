"""Other work on this machine, which makes measured times longer than they would be.

In: two moments. Out: a line that says how much of the processors that we may use went to others
in between, or None: where the system does not tell, or that was little.

>>> watch = Watch()
>>> watch.note() is None  # too short to tell
True
"""

from __future__ import annotations

import os
import time
from pathlib import Path

PROC = Path("/proc")  # of Linux: times in hundredths of a second
TELLING = 0.05  # seconds of processors: less is the clock's own coarseness
MUCH = 0.05  # share of the processors


def busy_seconds(text: str, processors: set[int]) -> float:
    """How long these processors have worked, by the text of /proc/stat: all that is neither idle nor waiting for a disk."""
    found = 0.0
    for line in text.splitlines():
        name, *ticks = line.split()
        if name.removeprefix("cpu").isdecimal() and int(name[3:]) in processors:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            found += (user + nice + system + irq + softirq + steal) / 100
    return found


def tree_seconds(proc: Path, root: int) -> float:
    """How long a process and all its descendants have worked: those that have ended are in their parents' counts."""
    parents, worked = {}, {}
    for path in proc.glob("[0-9]*/stat"):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        fields = text[text.rindex(")") + 2 :].split()  # its name may hold anything
        pid = int(path.parent.name)
        parents[pid], worked[pid] = int(fields[1]), sum(map(int, fields[11:15])) / 100
    found, tree = 0.0, {root}
    while tree:
        found += sum(worked.get(pid, 0.0) for pid in tree)
        tree = {pid for pid, parent in parents.items() if parent in tree}
    return found


class Watch:
    """Watches the machine from now on."""

    def __init__(self) -> None:
        self._processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        self._start = self._now()

    def _now(self) -> tuple[float, float, float]:
        """The time, what the processors have worked, and what we and our descendants have."""
        stat = PROC / "stat"
        text = stat.read_text(encoding="ascii") if self._processors and stat.exists() else ""
        return time.perf_counter(), busy_seconds(text, self._processors), tree_seconds(PROC, os.getpid())

    def others(self) -> float:
        """How many processors other work took, on average since the start; 0 where that cannot be told."""
        wall, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return (busy - own) / wall if busy - own > TELLING else 0.0

    def note(self) -> str | None:
        """A line about other work, if there is much."""
        others, count = self.others(), len(self._processors)
        if others <= MUCH * count:
            return None
        return f"note: other work took {others:.1f} of {count} processors meanwhile, so times are longer than on a machine at rest"
