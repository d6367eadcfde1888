"""From LLVM IR to machine code in this process.

    module --optimize--> Machine code of one module: IR text, object bytes, assembly on demand
    objects --load--> Library: functions, alive as long as the Library is

LLVM's own loop vectorization, SLP and unrolling are off: the schedule decided, codegen did it.
Objects are ordinary relocatable files, so they can be kept on disk and loaded again.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import llvmlite.ir as ir

from minicc.errors import CodegenError, TargetError
from minicc.runtime import threads
from minicc.runtime.half import CONVERSIONS
from minicc.target import Target
from minicc.tensor.intrinsics import INTRINSICS

SPEED_LEVEL = 2
VERSION = f"{'.'.join(map(str, llvm.llvm_version_info))} by llvmlite {llvmlite.__version__}"
PLACEHOLDER = f"minicc_{'kernel' * 32}"  # the name of a kernel in its object, until an image gives it one
LIBRARIES = 16  # that one session links
ENTRY = "minicc_main"  # the symbol of an entry function
ENTRY_TYPE = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_void_p)
LIBC = ("memcpy", "memset", "memmove", "clock_gettime", "abort")
LIBM = [f"{i.libm}{suffix}" for i in INTRINSICS.values() if i.libm for suffix in ("", "f")]
RESERVED = frozenset((ENTRY, "stamp", "half_conversions", *LIBC, *LIBM, *threads.SYMBOLS))  # as names of kernels
_names = itertools.count()


@lru_cache(maxsize=8)
def _generator(target: Target) -> Any:
    """The code generator of a target, kept."""
    return target.machine()


@dataclass(frozen=True)
class Code:
    """What one LLVM module became: its `source`, the IR as emitted, and its object code. The other texts are made when asked for."""

    source: str
    object: bytes
    target: Target

    @property
    def optimized(self) -> str:
        """The IR after LLVM's passes."""
        return str(_optimized(self.source, self.target))

    @property
    def assembly(self) -> str:
        """The machine code as text."""
        return assembly(self.optimized, self.target)


def renamed(code: bytes, name: str) -> bytes:
    """An object with `name` in place of PLACEHOLDER. In object files names end with a zero, so a shorter one fits.

    Raises CodegenError for a longer one.
    """
    new = name.encode()
    if len(new) > len(PLACEHOLDER):
        problem = f"expected a name of at most {len(PLACEHOLDER)} letters, got {len(new)}"
        raise CodegenError("renamed(...)", problem, name, hint="kernels have labels that are cut; give a shorter one")
    return code.replace(PLACEHOLDER.encode(), new.ljust(len(PLACEHOLDER), b"\0"))


def assembly(text: str, target: Target) -> str:
    """The machine code of a module of optimized LLVM IR, as text."""
    return str(_generator(target).emit_assembly(llvm.parse_assembly(text)))


def new_module(name: str, target: Target) -> ir.Module:
    """An empty module for `target`."""
    made = ir.Module(name)
    made.triple = target.triple
    made.data_layout = str(_generator(target).target_data)
    return made


def optimize(module: ir.Module | str, target: Target) -> Code:
    """Run LLVM's scalar passes and its code generator. Raises CodegenError when the IR is not valid."""
    source = str(module)
    return Code(source, _generator(target).emit_object(_optimized(source, target)), target)


def _optimized(source: str, target: Target) -> Any:
    """The module of a text, after LLVM's passes. Raises CodegenError when it is not valid."""
    try:
        parsed = llvm.parse_assembly(source)
        parsed.verify()
    except RuntimeError as error:
        line = str(error).strip()
        hint = "this is a bug in codegen; please report it with the loop program"
        raise CodegenError("optimize", "expected valid LLVM IR, got an error of its parser", line, hint) from error
    generator = _generator(target)
    options = llvm.create_pipeline_tuning_options(speed_level=SPEED_LEVEL)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = options.loop_interleaving = False
    builder = llvm.create_pass_builder(generator, options)
    passes = builder.getModulePassManager()
    passes.run(parsed, builder)
    llvm.NewPassManager._dispose(passes)  # llvmlite's own `_dispose` of this class does nothing, and leaves 60 KiB
    return parsed


@dataclass
class Library:
    """Loaded machine code of a target, alive as long as this is. Copied to another process, it is loaded anew."""

    addresses: dict[str, int]
    target: Target
    objects: list[bytes] = field(default_factory=list)
    keep: list[Any] = field(default_factory=list)

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.objects, list(self.addresses), self.target)

    def function(self, name: str, kind: Any) -> Any:
        """The exported function `name`, of a ctypes type. Where this machine cannot run it, a call raises TargetError."""
        if not (lacking := self.target.lacking()):
            return kind(self.addresses[name])

        def refuse(*_: Any) -> None:
            problem = f"expected a processor with {', '.join(lacking)}, got one without"
            hint = 'read its stages, or compile with target="native" to run it'
            raise TargetError(f"{name}(...)", problem, f"compiled for {self.target}", hint)

        return refuse


@lru_cache(maxsize=2)
def _session(target: Target, generation: int) -> Any:
    """A linker for a target, which owns a code generator of its own. It keeps some KiB of each library that it has
    linked, even of those that are gone, so after LIBRARIES of them comes the next generation. JITLink keeps an object in one piece of
    memory, so that code reaches its constants however full the address space is."""
    return llvm.create_lljit_compiler(target.machine(), use_jit_link=True)


def load(objects: list[bytes], exports: list[str], target: Target, symbols: Mapping[str, int] | None = None) -> Library:
    """Link objects with each other, the C library, the OpenMP runtime, and `symbols` at their addresses."""
    number = next(_names)
    session = _session(target, number // LIBRARIES)
    builder = llvm.JITLibraryBuilder().add_current_process()
    for content in objects:
        builder.add_object_img(content)
    for name, address in {**_runtime_symbols(), **(symbols or {})}.items():
        builder.import_symbol(name, address)
    for name in exports:
        builder.export_symbol(name)
    tracker = builder.link(session, f"minicc.{number}")
    return Library({name: tracker[name] for name in exports}, target, objects, [tracker, session])


@lru_cache(maxsize=8)
def conversions(target: Target) -> dict[str, bytes]:
    """The object of `half.CONVERSIONS` by its file name, where the processor has no instructions for them."""
    if target.has("f16c") or not target.triple.startswith("x86_64"):
        return {}
    return {"half_conversions.o": optimize(CONVERSIONS, target).object}


@lru_cache(maxsize=1)
def _runtime_symbols() -> dict[str, int]:
    """What kernels call. Without OpenMP they run with one thread and call none of it, but it must resolve."""
    found = threads.openmp()
    if found is not None:
        return found.symbols
    nothing = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value or 0
    return dict.fromkeys(threads.SYMBOLS, nothing)
