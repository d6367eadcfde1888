"""What there is of memory, read from files; and what is refused before it is allocated."""

from __future__ import annotations

import resource
import sys

import pytest

from minicc.errors import TooLargeError
from minicc.runtime import memory

MEMINFO = "MemTotal:  1000 kB\nMemAvailable:  600 kB\nSwapTotal:  100 kB\nSwapFree:  50 kB\nHugePages: x\n"


@pytest.fixture
def machine(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_memory_and_swap(machine):
    root = machine(proc__meminfo=MEMINFO)
    assert memory.installed(root) == 1100 << 10 and memory.available(root) == 650 << 10


@pytest.mark.parametrize("folder", ["sys__fs__cgroup__memory.", "sys__fs__cgroup__memory__memory."])
def test_a_control_group_has_less(machine, folder):
    limit, usage = ("max", "current") if folder.count("memory") == 1 else ("limit_in_bytes", "usage_in_bytes")
    stat = folder.replace("memory.", "memory.stat")
    root = machine(
        proc__meminfo=MEMINFO,
        **{folder + limit: "500000\n", folder + usage: "400000\n", stat: "anon 5\ninactive_file 1000\n"},
    )
    assert memory.installed(root) == 500_000 and memory.available(root) == 101_000
    machine(**{folder + usage: "900000\n"})
    assert memory.available(root) == 0
    machine(**{folder + limit: "max\n"})
    assert memory.installed(root) == 1100 << 10


def test_a_limit_on_addresses(machine, monkeypatch):
    root = machine(proc__meminfo=MEMINFO, proc__self__statm="2 1 1\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (5 * resource.getpagesize(), 0))
    assert memory.available(root) == 3 * resource.getpagesize()


def test_where_nothing_is_told(tmp_path, monkeypatch):
    assert memory.installed(tmp_path) > 1 << 28  # by the C library
    monkeypatch.setattr(memory, "_pages", lambda: sys.maxsize)
    assert memory.installed(tmp_path) == sys.maxsize


def test_the_error_has_the_sizes():
    with pytest.raises(TooLargeError) as caught:
        memory.check("f(x)", {"inputs": 4 * 10**12, "weights": 0, "outputs": 1500}, 10**9, "graph g")
    error = caught.value
    assert error.problem == "expected a need of at most 1 GB of memory, got 4 TB"
    assert error.where == "inputs 4 TB, outputs 1.5 KB\ngraph g" and "--dim" in error.hint
    memory.check("f(x)", {"inputs": 10**9}, 10**9)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 KB"), (123_456_789, "123.5 MB"), (10**40, "1e+22 EB")],
)
def test_sizes(count, text):
    assert memory.size(count) == text
