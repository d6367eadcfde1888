"""What users write of a target, and what is wrong with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from minicc.errors import TargetError
from minicc.target import Caches, Target, processors

SKYLAKE = (
    "+avx,+avx2,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+movbe,+popcnt"
)


@pytest.mark.parametrize("what", [
    "llvm -mcpu=skylake-avx512", "llvm -mcpu=skylake-avx512 -mattr=+avx512f", "  skylake-avx512  -mattr=+fma,+avx ",
    {"kind": "llvm", "mcpu": "skylake-avx512"}, {"kind": "llvm", "mcpu": "skylake-avx512", "mattr": ["+avx512f", "+bmi"]},
    "llvm -mtriple=x86_64-unknown-linux-gnu -mcpu=skylake-avx512 -num-cores=1"])  # fmt: skip
def test_one_processor_has_many_spellings(what) -> None:
    plain, made = Target.of("skylake-avx512"), Target.of(what)
    assert set(made.features.split(",")) == set(plain.features.split(",")) > set(SKYLAKE.split(","))
    assert (made.cpu, made.vector_bits, made.registers, made.threads) == ("skylake-avx512", 512, 32, 1)


@pytest.mark.parametrize(("what", "bits", "registers"), [
    ("haswell", 256, 16), ("nehalem", 128, 16), ("btver2", 256, 16), ("znver4", 512, 32), ("neoverse-v1", 128, 32), ("generic", 128, 16),
    ("llvm -mtriple=wasm32-unknown-unknown", 128, 16), ("haswell -mattr=+avx512f", 512, 32), ("skylake-avx512 -mattr=-avx512f", 256, 16),
    ("skylake-avx512 -mattr=-avx", 128, 16)])  # fmt: skip
def test_any_processor_of_llvm_has_its_vectors(what, bits, registers) -> None:
    target = Target.of(what)
    assert (target.kind, target.vector_bits, target.registers, target.caches) == ("cpu", bits, registers, Caches())
    assert target.has("avx512f") == (bits == 512) and processors.machine(target.triple, target.cpu, target.features)


def test_features_are_those_of_the_processor() -> None:
    assert Target.of("haswell").features == Target.of("x86-64-v3").features
    assert (
        not Target.of("x86-64-v2").has("avx")
        and not Target.of("bdver1").has("avx2")
        and Target.of("bdver1").has("fma4")
    )
    assert not Target.of("skylake-avx512 -mattr=-avx512f").has("avx512bw"), "what needs a feature goes with it"
    assert Target.of("cortex-a76").fuses and Target.of("cortex-a76").has("dotprod")


def test_native_and_portable() -> None:
    assert Target.of("llvm") == Target.of("llvm -mcpu=native") == Target.of("native") == Target.of({"kind": "native"})
    assert Target.of("llvm -num-cores=3") == Target.native().with_threads(3)
    portable = Target.of("portable")
    assert portable.triple == Target.native().triple and (
        portable.lacking() == () or not portable.triple.startswith("x86_64")
    )
    assert not Target.of("llvm -mattr=-fma").has("fma")


def test_devices() -> None:
    assert (
        Target.of("cuda -arch=sm_80,sm_90a").architectures
        == Target.of({"kind": "cuda", "arch": ["sm_80", "sm_90a"]}).architectures
    )
    assert Target.of("cuda").architectures == () and not Target.of("cuda").is_cpu and Target.of("cuda").lacking()
    assert Target.of("cuda -code=source").features == Target.of("emulated").features == "-cubin"
    assert str(Target.of("cuda -arch=sm_90")) == "cuda (sm_90)" and Target.of("emulated").kind == "emulated"


@pytest.mark.parametrize(("what", "problem", "hint"), [
    ("toaster", "expected a target or its name, got 'toaster'", "haswell"),
    ("cude", "got 'cude'", "did you mean cuda?"),
    ("relay-c", "expected a target whose code runs, got relay-c, which is text only", "minicc compile MODEL --target relay-c"),
    ("relay-opencl -arch=sm_80", "got relay-opencl, which is text only", "--target relay-opencl prints it"),
    ("relay-cuda", "got relay-cuda, which Relay's TVM has no generator for", "cuda, for which today's TVM"),
    ("haswel", "got 'haswel'", "did you mean haswell?"),
    ("", "got ''", "native"),
    (3, "got 3", "native"),
    ({"mcpu": "haswell"}, "expected a target or its name", "native"),
    ("llvm -mcpu=haswel", "expected a processor of x86_64 or aarch64, got haswel", "did you mean haswell?"),
    ("llvm -mtriple=aarch64-linux-gnu -mcpu=cortex-a7x", "expected a processor of aarch64", "did you mean cortex-a7"),
    ("llvm -mcp=haswell", "expected options of llvm, got -mcp, which no target has", "did you mean -mcpu?"),
    ("llvm mcpu", "expected options such as -mcpu=haswell, got 'mcpu'", "-NAME=VALUE"),
    ("llvm -mattr=+avx52", "expected features of", "name those" if not Target.native().has("avx2") else "did you mean +avx2?"),
    ("haswell -mattr=avx2", "expected features such as +avx2 or -fma, got 'avx2'", "begin each"),
    ("llvm -num-cores=0", "expected 1 to 1024 for -num-cores, got 0", "-num-cores=4"),
    ("cuda -arch=hopper", "expected architectures such as sm_90, got 'hopper'", "sm_80,sm_90"),
    ("cuda -code=ptx", "expected -code=source, got -code=ptx", "leave it out"),
    ("llvm -mtriple=no-such-machine", "expected a triple that LLVM has a generator for", "this machine is"),
    # each word is known, but not beside the other
    ("cuda -mcpu=haswell", "expected options of cuda, got -mcpu, which is an option of llvm", "cuda takes -arch, -code"),
    ("native -mcpu=haswell", "expected options of native", "native takes no options"),
    ("llvm -mcpu=znver4 -mattr=+avx512f,-avx512f", "got +avx512f and -avx512f, which contradict each other", "leave one"),
    ("llvm -mcpu=haswell -mcpu=znver4", "expected one -mcpu, got haswell and znver4, which contradict each other", "leave one"),
    ("haswell -mcpu=znver4", "expected one -mcpu, got haswell and znver4", "leave one"),
    ("haswell -mattr=+fma -mattr=+avx2", "expected one -mattr", "-mattr=+fma,+avx2"),
    ("llvm -mtriple=aarch64-linux-gnu -mcpu=haswell", "got haswell, a processor of x86_64", "leave out -mtriple"),
    ("llvm -mtriple=x86_64-linux-gnu -mcpu=native", "expected a processor for -mtriple, got native", "name a processor"),
])  # fmt: skip
def test_words_without_a_meaning_and_words_that_contradict(what, problem, hint) -> None:
    with pytest.raises(TargetError) as caught:
        Target.of(what)
    assert problem in str(caught.value) and hint in caught.value.hint and caught.value.where


def test_llvm_says_nothing_to_the_user() -> None:
    """LLVM complains of unknown names on the stream that errors of users go to; what others write there stays."""
    code = "import os\nfrom minicc.target import processors as p\nos.write(2, b'a')\nprint(p.unknown('x86_64-linux', 'x', '+y'))\nos.write(2, b'b')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "('x', '+y')\n" and done.stderr == "ab"


def test_a_process_without_a_stream_for_errors() -> None:
    code = "import os\nos.close(2)\nfrom minicc.target import Target\nprint(Target.of('haswell').cpu)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "haswell\n"
    )
