"""The peers that a model's latency is compared with, each built from a file and called with NumPy arrays.

In: an ONNX file, how many threads, and for PyTorch the same network as a program of `torch.export`. Out: a function from inputs by name
to outputs by name. All compute in float32, whatever they would choose themselves, and use as many threads as they are told.

This file is also a program, that of a process which holds one or several of them (`minicc.testing.bench` talks to it): it reads a line of
JSON, `["build", peer]`, `["time", peer, number]`, `["answer", peer, path]` or `["memory"]`, and answers with one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minicc
from minicc.bridge.old_tvm import old_tvm
from minicc.bridge.relay import relay_program
from minicc.frontend import load
from minicc.graph import bind
from minicc.ir.arrays import Array
from minicc.runtime.files import write_arrays
from minicc.target import Target
from minicc.testing.draws import plain

Call = Callable[[Mapping[str, Array]], Mapping[str, Array]]
SAMPLES = 4  # sets of inputs that take turns, so that no call finds its own in the cache
CACHE_LINE = 64


@dataclass(frozen=True)
class BenchJob:
    """What is compared: a model file, the shapes of its inputs, and where else it is found."""

    model: str
    threads: int = 1
    program: str = ""  # of torch.export: the same network
    inputs: str = ""  # an .npz; else random
    dims: tuple[tuple[str, int], ...] = ()
    apart: float = 2e-3  # of the greatest magnitude of an output: more is a wrong answer


def by_minicc(job: BenchJob) -> Call:
    return minicc.compile(job.model, dims=dict(job.dims), threads=job.threads).run


def by_onnxruntime(job: BenchJob) -> Call:
    """A session on the CPU, with its own optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = job.threads, 1, 3
    session = onnxruntime.InferenceSession(job.model, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def by_openvino(job: BenchJob) -> Call:
    """Compiled for latency, in float32, one stream."""
    import openvino

    core = openvino.Core()
    model = core.read_model(job.model)
    if job.dims or any(port.partial_shape.is_dynamic for port in model.inputs):
        model.reshape({name: array.shape for name, array in samples(job)[0].items()})
    settings = {
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(model, "CPU", settings)
    names = [port.any_name for port in compiled.outputs]
    request = compiled.create_infer_request()

    def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
        found = request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        return dict(zip(names, found.values(), strict=True))

    return call


def _torch_module(job: BenchJob) -> Any:
    """The network that was exported, as a module, with as many threads as asked for."""
    import torch

    torch.set_num_threads(job.threads)
    return torch.export.load(job.program).module()


def _by_torch(module: Any) -> Call:
    import torch

    def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
        with torch.inference_mode():
            found = module(*[torch.from_numpy(a) for a in inputs.values()])
        outputs = found if isinstance(found, (tuple, list)) else (found,)
        return {str(n): y.numpy() for n, y in enumerate(outputs)}

    return call


def by_torch(job: BenchJob) -> Call:
    return _by_torch(_torch_module(job))


def by_torch_compile(job: BenchJob) -> Call:
    """By Inductor, with its own defaults."""
    import torch

    call = _by_torch(torch.compile(_torch_module(job)))
    call(samples(job)[0])  # it compiles when it is first called
    return call


class RelayCall:
    """The old TVM, untuned, at opt_level 3, in an environment and a process of its own, where it keeps the time."""

    def __init__(self, job: BenchJob) -> None:
        self.threads, self.seconds = job.threads, 0.0
        program = relay_program(bind(load(job.model), dict(job.dims)))
        message = program.message(opt_level=3, cpu=Target.native().cpu)
        old_tvm().ask("graphs.jobs.lower", [0, message], program.constants, BUILD_SECONDS)
        old_tvm().ask("graphs.jobs.compile", None, None, BUILD_SECONDS)

    def __call__(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        (self.seconds,), _ = old_tvm().ask(
            "graphs.time", {"job": 0, "threads": self.threads, "calls": 1}, inputs, BUILD_SECONDS
        )
        return old_tvm().ask("graphs.jobs.run", 0, inputs, BUILD_SECONDS)[1]


BUILD_SECONDS = 900.0
PEERS: dict[str, Callable[[BenchJob], Call]] = {
    "minicc": by_minicc, "onnxruntime": by_onnxruntime, "openvino": by_openvino, "torch": by_torch,
    "torch.compile": by_torch_compile, "relay": RelayCall,
}  # fmt: skip


def samples(job: BenchJob) -> list[dict[str, Array]]:
    """SAMPLES sets of inputs: those of a file, with floats drawn anew; else all at random."""
    graph = bind(load(job.model), dict(job.dims))
    given = dict(np.load(job.inputs)) if job.inputs else {}
    found = []
    for seed in range(SAMPLES):
        rng = np.random.default_rng(seed)
        found.append({name: _aligned(given[name] if name in given and n.dtype.kind != "float" else plain(n.type, rng))
                      for name, n in zip(graph.input_names, graph.inputs, strict=True)})  # fmt: skip
    return found


def _aligned(array: Array) -> Array:
    """A copy that begins at a cache line, so that no peer has to copy it."""
    room = np.empty(array.nbytes + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    made = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


class Holder:
    """Peers that were built here, and what they are asked."""

    def __init__(self, job: BenchJob) -> None:
        self.job, self.inputs, self.turn = job, samples(job), 0
        self.calls: dict[str, Call] = {}

    def build(self, peer: str) -> float:
        """Build a peer, and say how many seconds that took."""
        start = time.perf_counter()
        self.calls[peer] = PEERS[peer](self.job)
        return time.perf_counter() - start

    def time(self, peer: str, number: int) -> list[float]:
        """Seconds of so many calls, one after the other, each on other inputs."""
        call, found = self.calls[peer], []
        for _ in range(number):
            self.turn += 1
            inputs = self.inputs[self.turn % SAMPLES]
            start = time.perf_counter()
            call(inputs)
            taken = time.perf_counter() - start
            found.append(getattr(call, "seconds", taken))
        return found

    def answer(self, peer: str, path: str) -> None:
        """Write what a peer answers to the first inputs, in order, to an .npz."""
        found = self.calls[peer](self.inputs[0])
        write_arrays(Path(path), {str(n): np.asarray(y) for n, y in enumerate(found.values())})

    def memory(self) -> int:
        """The most bytes that this process has held."""
        status = Path("/proc/self/status")
        lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    job = json.loads(sys.stdin.readline())
    holder = Holder(BenchJob(**{**job, "dims": tuple(map(tuple, job["dims"]))}))
    for line in sys.stdin:
        question, *rest = json.loads(line)
        try:
            reply: Any = {"ok": getattr(holder, question)(*rest)}
        except Exception as error:  # of whatever library: the table says so
            reply = {
                "error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            }
        print(json.dumps(reply), file=answers, flush=True)


def message(job: BenchJob) -> str:
    """A job as the first line that the process reads."""
    return json.dumps(asdict(job))


if __name__ == "__main__":
    main()
