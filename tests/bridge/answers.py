"""What a stand-in for a compiler answers in its process, for the tests of the driver."""

import ctypes
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from minicc.bridge.inside import serve
from minicc.errors import BridgeError


def double(message, arrays):
    return message, {name: 2 * array for name, array in arrays.items()}


def process(message, arrays):
    return os.getpid(), {}


def _about_to(what):
    print("about to", what, flush=True)


def segfault(message, arrays):
    _about_to("end")
    os.kill(os.getpid(), signal.SIGSEGV)


def abort(message, arrays):
    _about_to("end")
    os.abort()


def leave(message, arrays):
    _about_to("end")
    os._exit(3)


def hang(message, arrays):
    _about_to("hang")
    time.sleep(100)


def stop(message, arrays):
    os.kill(os.getpid(), signal.SIGSTOP)


def fail(message, arrays):
    raise ValueError("a fault")


def refuse(message, arrays):
    raise BridgeError("relax(Op)", "expected an operator that TVM has, got one it has not")


def unsendable(message, arrays):
    return None, {"x": np.array([object()])}


def _pipes():
    """Where frames come from, and where they go."""
    return [fd for fd in range(3, 20) if Path(f"/proc/self/fd/{fd}").exists() and stat.S_ISFIFO(os.fstat(fd).st_mode)]


def _written(data):
    os.write(_pipes()[1], data)


def garbage(message, arrays):
    _written(b"Traceback (most recent call last)")
    return None, {}


def cut(message, arrays):
    _written((100).to_bytes(8, "little") + b"[")
    os._exit(0)


def talk(message, arrays):
    print(message, flush=True)
    ctypes.CDLL(None).puts(message.encode())
    ctypes.CDLL(None).fflush(None)
    subprocess.run([sys.executable, "-c", f"print({message!r})"], check=True)
    assert subprocess.run(["cat"], capture_output=True).stdout == b"", "it reads no frames"
    return message, {}


def deaf(message, arrays):
    """From now on, nothing that is sent is read."""
    requests = _pipes()[0]
    os.dup(requests)  # open, and never read
    os.dup2(os.pipe()[0], requests)
    return None, {}


def impatient():
    """When it computes without a parent, it ends at once."""
    watched = serve._watched
    serve._watched = lambda timeout: watched(timeout - 10)


def talk_first():
    _written(b"what is this?")


def sleep():
    time.sleep(100)
