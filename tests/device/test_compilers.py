"""nvcc and C++ compilers that do not do what they should: each is a BridgeError, never an exception of Python's own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from gpu_cases import ADD

from minicc.device import emulate, nvcc
from minicc.device.emulate import EmulatedCode
from minicc.device.nvcc import cubin, known_architectures, ptx
from minicc.errors import BridgeError

# A stand-in for both: it writes what $MADE says to the file after -o, and knows the architectures of CUDA 11.8.
SCRIPT = r"""#!/bin/sh
case "$*" in
  *--list-gpu-code*) LIST ;;
  *-arch=sm_90a*) echo "nvcc fatal : Unsupported gpu architecture 'sm_90a'" >&2; exit 1 ;;
  *--dryrun*) exit 0 ;;
esac
while [ $# -gt 1 ]; do
  if [ "$1" = -o ]; then OUT="$2"; fi
  shift
done
MAKE
"""


@pytest.fixture
def compiler(monkeypatch):
    """Installs a stand-in: a shell command that makes "$OUT", and one that lists architectures."""

    def install(make="exit 0", listing="printf 'sm_80\\nsm_90\\n'; exit 0"):
        script.write_text(SCRIPT.replace("MAKE", make).replace("LIST", listing))
        script.chmod(0o755)
        for module in (nvcc, emulate):
            monkeypatch.setattr(module.shutil, "which", lambda name: str(script))
        emulate.compiled.cache_clear()

    with tempfile.TemporaryDirectory() as folder:  # that others may read, which those of pytest are not
        Path(folder).chmod(0o755)
        script = Path(folder) / "compiler"
        yield install


@pytest.mark.parametrize("make", ["exit 0", ': > "$OUT"'])
def test_nvcc_that_makes_nothing(compiler, make):
    compiler(make)
    for call in (cubin, ptx):
        with pytest.raises(
            BridgeError,
            match=r"nvcc -(cubin|ptx) .*: expected nvcc to write a file, got none, or an empty one[\s\S]*hint: ",
        ):
            call("", "sm_80")


def test_nvcc_that_writes_what_is_no_text(compiler):
    compiler(r'''printf '.version 8 \377\n' > "$OUT"''')
    assert ptx("", "sm_80") == ".version 8 \ufffd\n"
    assert cubin("", "sm_80") == b".version 8 \xff\n"


def test_nvcc_that_complains_in_no_text(compiler):
    compiler(r"printf 'error: \377\n' >&2; exit 2")
    with pytest.raises(BridgeError, match="got an error\n    error: \ufffd"):
        cubin("", "sm_80")


@pytest.mark.parametrize("listing, said", [
    ("echo 'nvcc fatal: libcudafe is not there' >&2; exit 1", r"expected the architectures that nvcc compiles for, got an error[\s\S]*libcudafe is not there"),
    ("kill -9 $$", r"expected the architectures that nvcc compiles for, got an error"),
    ("echo sm_20; exit 0", r"expected one or more of sm_75, .*, got sm_20"),
    ("printf '\\377'; exit 0", r"expected one or more of sm_75, .*, got none"),
])  # fmt: skip
def test_nvcc_that_does_not_know_its_architectures(compiler, listing, said):
    compiler(listing=listing)
    with pytest.raises(BridgeError, match=rf"nvcc --list-gpu-code: {said}[\s\S]*hint: "):
        known_architectures()


def test_nvcc_that_knows_no_variants(compiler):
    compiler()
    assert known_architectures() == ("sm_80", "sm_90")


def test_nvcc_that_cannot_list(monkeypatch):
    monkeypatch.setattr(nvcc.shutil, "which", lambda name: "/nowhere/nvcc")
    with pytest.raises(BridgeError, match=r"expected nvcc to work, got .*nowhere"):
        known_architectures()


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
def test_the_architectures_of_this_nvcc_are_accepted():
    assert all(cubin("", arch)[:4] == b"\x7fELF" for arch in known_architectures())


@pytest.mark.parametrize("make, said", [
    ("exit 0", r"expected the C\+\+ compiler to write a library, got .*kernels.so"),
    ("""echo garbage > "$OUT" """, r"expected the C\+\+ compiler to write a library, got .*kernels.so"),
    ("""g++ -shared -x c++ /dev/null -o "$OUT" """, r"expected the C\+\+ compiler to write a library, got .*minicc_launch_add_kernel"),
    (r"printf 'kernels.cu:1: error: \377\n' >&2; exit 1", "got an error\n    kernels.cu:1: error: \ufffd"),
    (r"printf '/etc/passwd:1: error: root\n' >&2; exit 1", "got an error\n    kernels.cu\n"),
    (r"printf '\377' >&2; exit 1", "got an error\n    kernels.cu\n"),
    ("exit 1", "got an error"),
])  # fmt: skip
def test_a_compiler_of_the_cpu_that_misbehaves(compiler, make, said):
    compiler(make)
    with pytest.raises(BridgeError, match=rf"emulate: .*{said}[\s\S]*hint: "):
        EmulatedCode(ADD, ["add_kernel"])


@pytest.mark.parametrize("use", [lambda s: cubin(s, "sm_80"), lambda s: EmulatedCode(s, []), lambda s: ptx(s, "sm_80")])
def test_source_that_is_no_text(compiler, use):
    compiler()
    with pytest.raises(
        BridgeError, match=r"expected source as text, got '\\udcff' in it, which is no character[\s\S]*hint: "
    ):
        use("// caf\udcff")
