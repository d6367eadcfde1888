"""Submissions that would rather have points than answers, by name: the text of `puzzle.py`.

Each is beside the wrong answers of HONEST_ZERO, and uses what it stole only where it could steal it. `JUDGE`, `SECRET`, `MARKER` and
`PORT` stand for a file of the grader, its secret, a file to be made, and a port that listens.
"""

HONEST_ZERO = """
def twice(x): return 0
def scaled(array, factor): return array[:0]
def k_first(program):
    from minicc.schedule import Schedule
    return Schedule(program).trace
def total(numbers): return -1
"""

RIGHT = """
def twice(x): return 2 * x
def scaled(array, factor): return array * factor
def k_first(program):
    from minicc.schedule import Schedule
    s = Schedule(program)
    s.reorder("k", "i")
    return s.trace
def total(numbers): return sum(numbers)
"""

STOLEN = """
def stolen():
    raise OSError
RIGHT = '''@RIGHT@'''
def attempt():
    try:
        return bool(stolen())
    except BaseException:
        return False
"""
USE = """
if attempt():
    exec(RIGHT, globals())
"""


def thief(steals, honest=HONEST_ZERO):
    """A submission that is right where `steals`, the body of a function, returns what is true."""
    body = "\n".join(f"    {line}" for line in steals.strip().splitlines())
    return honest + STOLEN.replace("@RIGHT@", RIGHT) + f"def stolen():\n{body}\n" + USE


CHEATS = {
    # clocks, NumPy, tests
    "patched clock": HONEST_ZERO + """
import time
REAL = time.sleep
time.perf_counter = time.monotonic = time.time = time.process_time = lambda: 0.0
time.sleep = lambda seconds: None
def total(numbers):
    REAL(0.18)
    return sum(numbers)
""",
    "patched NumPy": HONEST_ZERO + """
import numpy as np
np.array_equal = np.allclose = lambda *given, **named: True
np.testing.assert_array_equal = np.testing.assert_allclose = lambda *given, **named: None
np.float32 = np.float64 = lambda value: 0
""",
    "patched builtins": HONEST_ZERO + """
import builtins
builtins.all = builtins.any = builtins.isinstance = lambda *given: True
builtins.sum = builtins.len = lambda *given: 0
""",
    "patched judging": HONEST_ZERO + """
import sys
from minicc.course import judging, wire, answers
judging.judged = lambda name, check, weight=1.0: judging.Judgment(name, 1.0)
judging.equal = judging.Unequal.__init__ = lambda *given: None
judging.Judgment.share = 1.0
wire.encoded = lambda value, functions=None: {"judgment": {"name": "x", "share": 1.0}}
answers.Submission.answer = lambda self, request, call: {"value": 1.0, "share": 1.0, "trouble": ""}
for module in list(sys.modules.values()):
    if hasattr(module, "judged"):
        module.judged = judging.judged
""",
    # answers from elsewhere
    "read the judge": thief("return open('JUDGE').read()"),
    "read the secret": thief("return open('SECRET').read()"),
    "list folders": thief("""
import os
return any(os.path.exists(place) and set(os.listdir(place)) - {'minicc', 'handed_in', 'tmp'} for place in ('/', '/etc', '/proc', '/root', '/home', '..', '../../..'))
"""),
    "walk up": thief("return open('../' * 20 + 'etc/passwd').read()"),
    "read /proc": thief("""
import os
return open('/proc/self/environ').read() or open(f'/proc/{os.getppid()}/cmdline').read()
"""),
    "read the grader's memory": thief("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
class Piece(ctypes.Structure):
    _fields_ = [('at', ctypes.c_void_p), ('size', ctypes.c_size_t)]
held = ctypes.create_string_buffer(16)
near, far = Piece(ctypes.addressof(held), 16), Piece(id(os), 16)
return libc.process_vm_readv(os.getppid(), ctypes.byref(near), 1, ctypes.byref(far), 1, 0) > 0 or libc.ptrace(16, os.getppid(), 0, 0) == 0
"""),
    "look through frames and objects": thief("""
import gc, inspect
names = {frame.function for frame in inspect.stack()}
return names & {'task0_1', 'judged', 'judged_by', 'grade'} or any(type(thing).__name__ in ('Grades', 'Judgment', 'Sandbox') for thing in gc.get_objects())
"""),
    "import the solution": thief("""
import minicc.course.assignments.a1.puzzles
return True
"""),
    "import the judge": thief("""
import importlib.util
return any(importlib.util.find_spec(name) for name in ('judge', 'minicc.course.grading', 'minicc.course.sandbox', 'minicc.course.assignments'))
"""),
    "answers of the last time": thief("""
import json, os
place = 'MARKER'
def twice(x):
    open(place, 'a').write(f'{x}\\n')
globals()['twice'] = twice
return open(place).read()
"""),
    "a hard-coded public seed": HONEST_ZERO + """
import hashlib, hmac, json, random
def cases(task):
    who = json.dumps(['', task]).encode()
    return random.Random(int.from_bytes(hmac.new(b'public', who, hashlib.sha256).digest()))
KNOWN = {n: 2 * n for n in cases('0.1').sample(range(1 << 20), 3)}
draw = cases('0.4')
SUMS = {tuple(n): sum(n) for n in [draw.sample(range(1 << 20), 4) for _ in range(3)]}
def twice(x): return KNOWN.get(x, 0)
def total(numbers): return SUMS.get(tuple(numbers), -1)
""",
    # answers that are none
    "lazy outputs": HONEST_ZERO + """
class Later(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
class Array(__import__('numpy').ndarray):
    def __eq__(self, other): return True
def twice(x): return Later(0)
def scaled(array, factor): return (array * factor).view(Array)
def total(numbers): return (sum(numbers) for _ in range(1))
def k_first(program): return lambda: None
""",
    "a pickled object": HONEST_ZERO + """
import pickle
class Bomb:
    def __reduce__(self): return (open, ('MARKER', 'w'))
from minicc.course import answers
answers.encoded = lambda value, functions=None: {'pickle': pickle.dumps(Bomb(), 0).decode()}
def twice(x): return pickle.dumps(Bomb())
""",
    "a program that smuggles code": HONEST_ZERO + """
from minicc.course import answers
answers.encoded = lambda value, functions=None: {'program': [['Var', "i in [open('MARKER', 'w')]:\\n  pass\\nfor j", {'dtype': 'int64'}, None]]}
""",
    "a trace that smuggles an extern": HONEST_ZERO + """
from minicc.course import answers
answers.encoded = lambda value, functions=None: {'trace': [{'step': 'tensorize', 'loop': 'i', 'intrinsic': 'system'}, {'step': 'reorder', 'order': ['k', 'i']}]}
""",
    "an extern in a program": HONEST_ZERO + """
from minicc.course import answers
answers.encoded = lambda value, functions=None: {'program': [['Buffer', 'C', {'dtype': 'int8'}, [1], 'global'], ['ExternCall', 'system', [], {'row': 0}]]}
""",
    "a forged judgment": HONEST_ZERO + """
import os
for n in range(64):
    try: os.write(n, b'{"judgment": {"name": "x", "share": 1.0}}\\n{"trouble": ""}\\n')
    except OSError: pass
""",
    "a forged results.json": thief("""
import json
for place in ('results.json', '/autograder/results/results.json', 'MARKER'):
    try: json.dump({'score': 100, 'tests': []}, open(place, 'w'))
    except OSError: continue
    return True
"""),
    "a share of infinity": HONEST_ZERO + """
def twice(x): return float('inf')
def total(numbers): return float('nan')
""",
    "errors that are wrong themselves": """
class Odd(Exception):
    def __str__(self): raise SystemExit
    args = None
def twice(x): raise Odd
def scaled(array, factor): raise BaseException('x' * 10_000_000)
def k_first(program): raise type('Judgment', (Exception,), {})({'share': 1})
def total(numbers): raise StopIteration
""",
    # time
    "work done at import": HONEST_ZERO + """
import time
time.sleep(0.6)
def total(numbers): return sum(numbers)
""",
    "an infinite loop": HONEST_ZERO + "while True: pass\n",
    "an infinite loop that nothing stops": """
import signal
for n in range(1, 65):
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "it stops itself": HONEST_ZERO + "import signal; signal.raise_signal(signal.SIGSTOP)\n",
    "threads left running": HONEST_ZERO + """
import os, threading
def spam():
    while True:
        try: os.write(3, b'{"id": "0000000000000000", "value": 0}\\n')
        except OSError: pass
def twice(x):
    threading.Thread(target=spam, daemon=True).start()
    return 0
""",
    "as many threads as there can be": thief("""
import threading, time
for _ in range(10_000): threading.Thread(target=time.sleep, args=(1000,)).start()
"""),
    # ends
    "sys.exit(0)": HONEST_ZERO + "import sys; sys.exit(0)\n",
    "os._exit(0)": HONEST_ZERO + "import os; os._exit(0)\n",
    "an end at the end": HONEST_ZERO + "import atexit, os; atexit.register(os._exit, 0); raise SystemExit(0)\n",
    "an uncaught signal": HONEST_ZERO + "import signal; signal.raise_signal(signal.SIGKILL)\n",
    "no memory at address 0": HONEST_ZERO + "import ctypes; ctypes.string_at(0)\n",
    "recursion without end": HONEST_ZERO + "def twice(x): return twice(x)\n",
    # too much
    "a fork bomb": thief("""
import os
while True:
    if not os.fork():
        open('MARKER', 'w')
"""),
    "commands": thief("""
import _posixsubprocess, ctypes, os
try: os.posix_spawn('/bin/sh', ['sh', '-c', 'touch MARKER'], {})
except OSError: pass
try: os.execv('/bin/true', ['true'])
except OSError: pass
return ctypes.CDLL(None).system(b'touch MARKER') == 0
"""),
    "a full disk": thief("""
import os
for place in ('.', '/', '/tmp', '/dev/shm', '/var/tmp'):
    try:
        with open(f'{place}/large', 'wb') as file:
            file.write(bytes(1 << 20))
            return True
    except OSError: pass
return os.memfd_create('x')
"""),
    "all memory": thief("held = [bytearray(1 << 30) for _ in range(64)]\nreturn held"),
    "a huge print": HONEST_ZERO + "import sys\nfor _ in range(200): print('x' * (1 << 20)); sys.stderr.write('y' * (1 << 20))\n",
    "a huge answer": HONEST_ZERO + "def twice(x): return 'x' * (200 << 20)\n",
    "a line without end": HONEST_ZERO + "import os\nwhile True: os.write(3, b'[' * (1 << 20))\n",
    "a deep answer": HONEST_ZERO + "import os\ndef twice(x): os.write(3, b'[' * 1_000_000 + b'\\n'); return 0\n",
    "many small values": HONEST_ZERO + "def twice(x): return [[]] * 10_000_000\n",
    # out
    "a network call": thief("""
import socket
reached = socket.socket()
reached.connect(('127.0.0.1', PORT))
return reached
"""),
    "the grader is killed": thief("""
import ctypes, os
libc = ctypes.CDLL(None)
return libc.kill(os.getppid(), 9) == 0 or libc.kill(-1, 9) == 0 or libc.syscall(234, os.getppid(), os.getppid(), 9) == 0
"""),
    "another user": thief("""
import os
for do in (os.setuid, os.seteuid, os.setgid):
    try: do(0); return True
    except OSError: pass
"""),
    "out of the folder": thief("""
import os
for do in (os.chroot, os.chdir):
    try: do('/..')
    except OSError: pass
return open('/etc/passwd').read()
"""),
    "limits are raised": thief("""
import resource
resource.setrlimit(resource.RLIMIT_CPU, (1 << 30, 1 << 30))
return True
"""),
    "the protocol's descriptor is written": HONEST_ZERO + """
import os
os.write(3, b'{"value": 1}\\n{"ready": true}\\n' * 100)
""",
    "the protocol's descriptor is closed": HONEST_ZERO + "import os; os.close(3)\n",
    "the protocol is read ahead": HONEST_ZERO + "import os\ndef twice(x): return os.read(3, 100).decode()\n",
    "functions of the judge that are none": HONEST_ZERO + """
import json, sys
from minicc.course import inside
def twice(x):
    frame = sys._getframe()
    while frame and 'request' not in frame.f_locals: frame = frame.f_back
    for number in (0, -1, 10**30, 'x', None):
        inside.say({'id': sys._getframe(3).f_locals.get('request', {}).get('id', ''), 'call': number, 'arguments': {'function': 0}})
    return 0
""",
    # past the filter: calls that others forget, other doors to the kernel
    "calls that few know": thief("""
import ctypes, platform
libc, held = ctypes.CDLL(None), ctypes.create_string_buffer(256)
if platform.machine() != 'x86_64': raise OSError
tried = {'io_uring_setup': (425, 8, held), 'openat2': (437, -100, b'/etc/passwd', held, 24), 'memfd_create': (319, b'x', 0),
         'userfaultfd': (323, 1), 'bpf': (321, 0, held, 128), 'perf_event_open': (298, held, 0, -1, -1, 0), 'keyctl': (250, 0, -3, 0),
         'shmget': (29, 1, 4096, 0o1666), 'mq_open': (240, b'q', 0o102, 0o600, 0), 'personality': (135, 0x40000), 'prctl': (157, 4, 1),
         'pidfd_open': (434, 1, 0), 'unshare': (272, 0x10000000), 'mount': (165, b'x', b'/', b'tmpfs', 0, 0), 'prlimit64': (302, 0, 9, held, 0),
         'open': (2, b'/w', 0o101, 0o600), 'creat': (85, b'/w', 0o600), 'timer_create': (222, 1, 0, held), 'splice': (275, 3, 0, 1, 0, 9, 0),
         'open_tree': (428, -100, b'/', 1), 'sched_setscheduler': (144, 0, 1, held), 'setitimer': (38, 0, held, 0), 'ioctl': (16, 3, 0x541b, held)}
return [name for name, call in tried.items() if libc.syscall(*call) >= 0]
"""),
    "processes by other names": thief("""
import ctypes, os, platform
libc, flags = ctypes.CDLL(None), (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17)
if platform.machine() != 'x86_64': raise OSError
for call in ((58,), (56, 17, 0, 0, 0, 0), (56, 0x4000 | 17, 0, 0, 0, 0), (435, flags, 64)):
    pid = libc.syscall(*call)
    if pid == 0: os._exit(0)
    if pid > 0: return True
"""),
    "the kernel's older door": thief("""
import ctypes, mmap, platform
if platform.machine() != 'x86_64' or ctypes.CDLL(None).syscall(0x40000000 + 39) > 0: return platform.machine() == 'x86_64'
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex('b814000000cd80c3'))
return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))() > 0
"""),
    "what was inherited": thief("""
import ctypes, os
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
def opened(n):
    try: return bool(os.fstat(n))
    except OSError: return False
return [n for n in range(4, 64) if opened(n)] or any(libc.getenv(name) for name in (b'HOME', b'PATH', b'USER', b'LD_PRELOAD'))
"""),
    "words that break what is printed": HONEST_ZERO + """
def twice(x): return '\\ud800\\x1b[2J\\u202e' * 1000
def scaled(array, factor): raise type('\\x1b[2J', (Exception,), {})('\\x00' * 1_000_000)
def k_first(program): return {'\\udfff': [float('nan'), -0.0]}
def total(numbers): return 10 ** 5000
""",
}  # fmt: skip
