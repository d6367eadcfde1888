"""The CUDA text of a package is C++ that anyone may have written: emulated, it computes and can do nothing else."""

import os
import socket

import numpy as np
import pytest

from minicc.device import emulate
from minicc.device.emulate import EmulatedCode
from minicc.device.emulated import Emulated
from minicc.device.session import DeviceExecutable
from minicc.errors import BridgeError
from minicc.runtime.image import DeviceBuffer, Image, KernelInfo, KernelLaunch, Port
from minicc.target import Target
from minicc.types import TensorType, float32

ATTACKS = {  # an expression of C++ that is 1 where an attack goes through
    "a file of the machine is read": 'fopen("/etc/passwd", "r") != nullptr',
    "a file of this process is read": 'fopen("/proc/self/maps", "r") != nullptr',
    "a file is written": 'fopen("PATH", "w") != nullptr',
    "a file is made beside the library": 'fopen("made", "w") != nullptr',
    "a command runs": 'system("touch PATH") == 0',
    "a process starts": "fork() >= 0",
    "another program takes its place": 'execl("/bin/true", "true", (char*)0) == 0',
    "a socket opens": "socket(2, 1, 0) >= 0",
    "the network is reached": "connect_to(PORT)",
    "the parent is killed": "kill(getppid(), 9) == 0",
    "another process is asked": "kill(1, 0) == 0",
    "it is root": "getuid() == 0 || syscall(102) == 0",
    "it becomes root": "setuid(0) == 0",
    "the environment is seen": 'getenv("PATH") != nullptr || getenv("HOME") != nullptr',
    "it leaves its folder": 'chroot(".") == 0 || chdir("..") == 0 || fopen("../../../../etc/passwd", "r") != nullptr',
    "memory is without limit": "much_memory()",
    "a limit is raised": "syscall(160, 9, unlimited) == 0",
    "the file of the arrays shrinks": "some_file_shrinks()",
    "another process is traced": "syscall(101, 16, getppid(), 0, 0) == 0",
}
TEXT = r"""
extern "C" {
int fork(); int execl(const char*, const char*, ...); int socket(int, int, int); int connect(int, const void*, unsigned); int kill(int, int);
int getppid(); unsigned getuid(); int setuid(unsigned); int chroot(const char*); int chdir(const char*); long syscall(long, ...); int ftruncate(int, long);
}
static unsigned long unlimited[] = {~0ul, ~0ul};
static bool connect_to(int port) {
  unsigned char address[16] = {2, 0, (unsigned char)(port >> 8), (unsigned char)port, 127, 0, 0, 1};
  return connect(socket(2, 1, 0), address, 16) == 0;
}
static void* volatile some;
static bool much_memory() {
  for (int k = 0; k < 64; k++) if (!(some = malloc(1ul << 30))) return false;
  return true;
}
static bool some_file_shrinks() {
  for (int k = 3; k < 64; k++) if (ftruncate(k, 0) == 0) return true;
  return false;
}
static int early[] = {ATTACKS};
extern "C" __global__ void attack(int* at_start, int* at_launch) {
  int late[] = {ATTACKS};
  for (int k = 0; k < COUNT; k++) at_start[k] = early[k], at_launch[k] = late[k];
}
"""


def test_no_attack_goes_through_when_the_library_is_loaded_or_a_kernel_runs():
    marker = f"/tmp/minicc-was-here-{os.getpid()}"
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        listed = ", ".join(ATTACKS.values()).replace("PATH", marker).replace("PORT", str(server.getsockname()[1]))
        listed = listed.replace(f'getenv("{marker}")', 'getenv("PATH")')
        code = EmulatedCode(TEXT.replace("ATTACKS", listed).replace("COUNT", str(len(ATTACKS))), ["attack"])
        found = [np.full(len(ATTACKS), 9, np.int32) for _ in range(2)]
        code.launch(KernelLaunch("attack", (1, 1, 1), (1, 1, 1), 0, ()), found)
        code.close()
    for when, flags in zip(("at start", "at launch"), found, strict=True):
        assert [name for name, flag in zip(ATTACKS, flags, strict=True) if flag] == [], when
    assert not os.path.exists(marker)  # noqa: PTH110


KERNEL = 'extern "C" __global__ void k(int* out) { out[0] = 1; }\n'


@pytest.mark.parametrize("text", [
    '#include "/etc/passwd"', "#include </etc/passwd>", '#  include "/etc/passwd"', '#/**/include "/etc/passwd"', '#inc\\\nlude "/etc/passwd"',
    '%:include "/etc/passwd"', '#include_next "/etc/passwd"', '#import "/etc/passwd"', '#embed "/etc/passwd"', 'int a[] = {\n#embed "/etc/passwd"\n};',
    '#if __has_include("/etc/passwd")\n#endif', '#define H "/etc/passwd"\n#include H', '#include <cuda_fp16.h> "/etc/passwd"\n',
    '"/*"; \n#include "/etc/passwd"\n"*/"', 'asm(".incbin \\"/etc/passwd\\"");', '__asm__(".include \\"/etc/passwd\\"");', '__asm volatile("nop");',
    '#define G(a, b) a##b\nG(as, m)(".inc" "bin \\"/etc/passwd\\"");', '#define G(a, b) a##b\nG(__as, m__)(".inc" "bin \\"/etc/passwd\\"");',
    '#include <cuda/../../../../../etc/passwd>', '#include "cuda_on_cpu.h"', "#pragma GCC dependency \"/etc/passwd\"",
    '#ifdef __asm__\n#undef __asm__\n#endif\n', '/*\n// */ #include "/etc/passwd"', '#undef asm\nint k;',
    '#define __asm__ asm\n#define G(a, b) a##b\nG(__as, m__)(".inc" "bin \\"/etc/passwd\\"");', '??=include "/etc/passwd"', "import std;", "#error root:x:0:0", "#include <cuda_runtime.h>\\\n\"/etc/passwd\""])  # fmt: skip
def test_source_that_reads_files_is_refused_and_shows_nothing_of_them(text):
    with pytest.raises(BridgeError, match=r"expected [\s\S]*\nhint: ") as refused:
        EmulatedCode(f"{text}\n{KERNEL}#error stop\n", ["k"])
    assert "root:x:0:0:root" not in str(refused.value) and "/bin/" not in str(refused.value)


def test_headers_of_cuda_are_what_is_emulated():
    out = np.zeros(1, np.int32)
    EmulatedCode(f"#include <cuda_fp16.h>\n#include <cstdint>\n{KERNEL}", ["k"]).launch(
        KernelLaunch("k", (1, 1, 1), (1, 1, 1), 0, ()), [out]
    )
    assert out == [1]


ENDS = {
    "for (;;) asm_free++;": r"got none after 1 seconds",
    "_Exit(0);": r"got the exit status 0",
    "_Exit(3);": r"got the exit status 3",
    "signal_itself();": r"got the signal SIGKILL|it aborts|exit status",
    'say("garbage\\n");': r"got an answer that is none",
    'say("[[[[[[[[[[\\n");': r"got an answer that is none",
    'for (;;) say("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");': r"got none after 1 seconds",
    "for (int k = 0; k < 64; k++) ((volatile char*)(some = malloc(1ul << 30)))[5] = 1;": r"address that is no memory",
}


@pytest.mark.parametrize("body", ENDS)
def test_a_kernel_that_ends_its_process_or_never_ends_is_an_error(body, monkeypatch):
    source = ('static volatile int asm_free; extern "C" long write(int, const void*, unsigned long);\n'
              "static void say(const char* text) { write(1, text, strlen(text)); }\n"
              "static void* volatile some;\n"
              "static void signal_itself() { raise(9); raise(6); _Exit(1); }\n"
              f'extern "C" __global__ void bad(int* out) {{ {body} }}\n{KERNEL}').replace("asm_free", "count")  # fmt: skip
    code = EmulatedCode(source, ["bad", "k"])
    out = np.zeros(1, np.int32)
    with (
        monkeypatch.context() as patch,
        pytest.raises(BridgeError, match=r"launch\(bad.*: .*" + f"({ENDS[body]})" + r"[\s\S]*\nhint: "),
    ):
        patch.setattr(emulate, "LAUNCH_SECONDS", 1)
        code.launch(KernelLaunch("bad", (1, 1, 1), (1, 1, 1), 0, ()), [out])
    code.launch(KernelLaunch("k", (1, 1, 1), (1, 1, 1), 0, ()), [out])  # in another process
    assert out == [1]


def image(inputs, outputs, buffers, arguments, source):
    """An image that launches the kernel `k` once, in one thread."""
    kernel = KernelInfo("k", launches=(KernelLaunch("k", (1, 1, 1), (1, 1, 1), 0, arguments),))
    sections = {"kernels.cu": source.encode()}
    return Image("small", inputs, outputs, Target.of("cuda"), sections, (kernel,), arena=16, buffers=buffers)


@pytest.mark.parametrize(
    "far, said",
    [(2, "one beside a buffer of 8 bytes"), (1 << 10, "no memory"), (-(1 << 12), "no memory"), (1 << 20, "no memory")],
)
def test_a_buffer_that_is_too_small_for_its_kernel_is_an_error(far, said):
    source = f'extern "C" __global__ void k(float* out, float* x) {{ out[{far}] = x[0]; }}'
    ports = Port("y", TensorType(float32, (2,)), 0), Port("x", TensorType(float32, (2,)), 1)
    small = image((ports[1],), (ports[0],), (DeviceBuffer(0, 8), DeviceBuffer(8, 8)), (0, 1), source)
    with (
        DeviceExecutable(small, Emulated()) as exe,
        pytest.raises(BridgeError, match=rf"launch\(k.*{said}[\s\S]*\nhint: "),
    ):
        exe(np.ones(2, np.float32))


def test_what_cannot_be_isolated_is_refused_unless_it_is_our_own(tmp_path, monkeypatch):
    script = tmp_path / "sandbox.py"
    script.write_text(
        emulate.SANDBOX.read_text().replace('"x86_64": (', '"none": (').replace('"aarch64": (', '"nothing": (')
    )
    monkeypatch.setattr(emulate, "SANDBOX", script)
    with pytest.raises(
        BridgeError,
        match=r"expected a process that is isolated.*got none: filter_calls: .*not known here\nhint: on Linux",
    ):
        EmulatedCode(KERNEL, ["k"])
    out = np.zeros(1, np.int32)
    EmulatedCode(KERNEL, ["k"], trusted=True).launch(KernelLaunch("k", (1, 1, 1), (1, 1, 1), 0, ()), [out])
    assert out == [1]


def test_no_process_is_left_when_a_session_is_closed():
    port = Port("y", TensorType(float32, (2,)), 0)
    device = Emulated()
    with DeviceExecutable(image((), (port,), (DeviceBuffer(0, 8),), (0,), KERNEL), device):
        process = device.code._children[0].process
        assert process.poll() is None
    assert process.poll() is not None
