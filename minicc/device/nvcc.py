"""NVIDIA's compiler: CUDA C++ to machine code, on a machine that needs no GPU.

In: source and an architecture. Out: a cubin, or PTX. Arithmetic stays that of IEEE 754 but for
contraction to fused multiply-adds: never --use_fast_math.

    cubin(source, "sm_90")[:4]      # b'\\x7fELF'
    ptx(source, "sm_75")            # '.version 9.0 ...

Source: NVIDIA, CUDA Compiler Driver NVCC.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from minicc.device.architectures import ARCH, ARCHITECTURES
from minicc.errors import BridgeError

PLACES = (Path("/usr/local/cuda/bin/nvcc"), Path("/opt/cuda/bin/nvcc"))
FLAGS = ("-std=c++17", "-O3", "-w")
SECONDS = 600


def find_nvcc() -> str:
    """The path of nvcc. Raises BridgeError when there is none."""
    if found := shutil.which("nvcc"):
        return found
    for place in PLACES:
        if place.exists():
            return str(place)
    problem = "expected NVIDIA's compiler, got none: nvcc is neither on the PATH nor in /usr/local/cuda/bin"
    hint = "install the CUDA toolkit, or write a bundle of source only: minicc compile ... --no-cubin"
    raise BridgeError("nvcc", problem, hint=hint)


def known_architectures() -> tuple[str, ...]:
    """Those of ARCHITECTURES that the nvcc of this machine compiles for; `("sm_90",)` without nvcc.

    Raises BridgeError when nvcc is there and does not say, or knows none of them.
    """
    try:
        compiler = find_nvcc()
    except BridgeError:
        return ("sm_90",)
    call = "nvcc --list-gpu-code"
    done = _run([compiler, "--list-gpu-code"], call)
    if done.returncode:
        problem = "expected the architectures that nvcc compiles for, got an error"
        where = "\n".join(done.stderr.decode(errors="replace").splitlines()[:4])
        raise BridgeError(call, problem, where, "reinstall the CUDA toolkit")
    codes = re.findall(r"sm_\d+", done.stdout.decode(errors="replace"))
    found = tuple(
        arch for arch in ARCHITECTURES if arch in codes or (arch.rstrip("a") in codes and _accepts(compiler, arch))
    )
    if not found:
        problem = f"expected one or more of {', '.join(ARCHITECTURES)}, got {', '.join(codes) or 'none'}"
        raise BridgeError(call, problem, hint="give --arch, again for each architecture")
    return found


def _accepts(compiler: str, arch: str) -> bool:
    """Whether nvcc takes an architecture that it does not list, as those that end in `a` (CUDA 12.0 is the first)."""
    return (
        _run([compiler, "--dryrun", "-cubin", f"-arch={arch}", "kernels.cu"], f"nvcc --dryrun -arch={arch}").returncode
        == 0
    )


def cubin(source: str, arch: str) -> bytes:
    """The machine code of all kernels for one architecture. Raises BridgeError when nvcc is absent or refuses."""
    return _compile(source, arch, ["-cubin", f"-arch={arch}"])


def ptx(source: str, arch: str) -> str:
    """NVIDIA's virtual assembly, which a driver compiles for any device from `arch` on. Raises BridgeError."""
    virtual = arch.replace("sm_", "compute_")
    return _compile(source, arch, ["-ptx", f"-arch={virtual}"]).decode(errors="replace")


def _compile(source: str, arch: str, flags: list[str]) -> bytes:
    if not ARCH.fullmatch(arch):
        raise BridgeError(
            "nvcc", f"expected an architecture such as sm_90, got {arch!r}", hint=f"one of {', '.join(ARCHITECTURES)}"
        )
    compiler = find_nvcc()
    with tempfile.TemporaryDirectory() as folder:
        file, made = Path(folder) / "kernels.cu", Path(folder) / "kernels.out"
        call = f"nvcc {' '.join(flags)}"
        file.write_bytes(encoded(call, source))
        done = _run([compiler, *FLAGS, *flags, "-o", str(made), str(file)], call)
        if done.returncode:
            complaint = done.stderr.decode(errors="replace").replace(folder, "").strip()
            problem = "expected source that nvcc accepts, got an error"
            where = "\n".join(complaint.splitlines()[:4])
            raise BridgeError(call, problem, where, f"is {arch} known to this nvcc? see nvcc --list-gpu-code")
        if not made.is_file() or not (code := made.read_bytes()):
            problem = "expected nvcc to write a file, got none, or an empty one"
            raise BridgeError(call, problem, compiler, "reinstall the CUDA toolkit")
        return code


def _run(command: list[str], call: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BridgeError(call, f"expected nvcc to work, got {error}", hint="reinstall the CUDA toolkit") from None


def encoded(call: str, source: str) -> bytes:
    """Source as UTF-8. Raises BridgeError where it holds half of a surrogate pair."""
    try:
        return source.encode()
    except UnicodeEncodeError as error:
        problem = f"expected source as text, got {source[error.start]!a} in it, which is no character"
        raise BridgeError(call, problem, hint="was it read with errors='surrogateescape'?") from None
