"""Reading a package: the file is hostile until it is proven otherwise, and nothing of it is run.

In: a path. Out: an `Image`. Its constants are the file's own memory, mapped and read-only; the digest of every
member is checked, and every number of the manifest against what it counts, before the image is made.

    image = read(Path("model.tar"))
    image.inputs, image.target
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from minicc.config import MOST_THREADS
from minicc.errors import LoadError
from minicc.ir.arrays import Array
from minicc.package.manifest import ALIGNMENT, FORMAT, MOST_BYTES, VERSION, Entry, Manifest
from minicc.paths import unreadable
from minicc.runtime import jit
from minicc.runtime.executable import LOADERS
from minicc.runtime.image import SOURCE, DeviceBuffer, Image, KernelInfo, KernelLaunch, Number, Port, Stages, Text
from minicc.runtime.plan import ArenaPlan, Lifetime
from minicc.target import Target

MEMBER = re.compile(r"manifest\.json|constants|stages|code/[A-Za-z0-9_.]{1,300}")
DEVICE_CODE = re.compile(r"code/kernels\.(cu|sm_[0-9]{2,3}a?\.cubin|compute_[0-9]{2,3}a?\.ptx)")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
WORDS = re.compile(r"[-+\w.,]*")
MOST_TEXT = 1 << 28  # bytes of all texts
REBUILD = "make it again: minicc compile MODEL --output FILE.tar"


def read(path: Path) -> Image:
    """The image in a file. Raises LoadError when it is absent, cut short, changed, or no package of this version."""
    call = f"load_package({str(path)!r})"
    members = _members(path, call)
    manifest = Manifest(call, REBUILD, members["manifest.json"].tobytes())
    top = manifest.top
    if top.text("format") != FORMAT:
        raise manifest.wrong("format", repr(FORMAT), repr(top.text("format")))
    if (version := top.integer("version", 0, 1 << 31)) != VERSION:
        raise LoadError(
            call, f"expected a package of version {VERSION}, got version {version}", "manifest.json", REBUILD
        )
    _check_members(top, members)
    target = _target(top.entry("target"))
    sections = {name[5:]: content.tobytes() for name, content in members.items() if name.startswith("code/")}
    if not target.is_cpu:
        _check_device_code(call, sections)
    constants = tuple(_constant(c, members["constants"]) for c in top.items("constants"))
    arena = top.integer("arena", 0, MOST_BYTES)
    buffers = tuple(_buffer(b, constants, arena) for b in top.items("buffers"))
    inputs = _ports(top, "inputs", buffers, target.is_cpu)
    _check_apart(top.items("inputs"), inputs, buffers)
    text = _texts(call, members["stages"])
    kernels = tuple(_kernel(k, len(buffers), text, target) for k in top.items("kernels"))
    stages = _stages(top, text)
    if not target.is_cpu:
        stages["cuda"] = sections[SOURCE].decode
    elif "llvm" in stages:
        distinct = {k.symbol: k for k in kernels}.values()
        stages["asm"] = lambda: "\n\n".join(k.stages["asm"] for k in distinct)
    return Image(top.text("name"), inputs, _ports(top, "outputs", buffers, target.is_cpu), target, sections, kernels, constants, arena,
                 buffers, top.text("entry"), top.integer("threads", 1, MOST_THREADS), Stages(stages),
                 _memory(top, arena, kernels))  # fmt: skip


def _members(path: Path, call: str) -> dict[str, Array]:
    """The bytes of each member of a tar, in place; they must be plain files with the names of a package's."""
    members: dict[str, Array] = {}
    if refused := unreadable(path, ".tar"):
        raise LoadError(call, f"expected a package, got {refused[0]}", hint=f"{refused[1]}; {REBUILD}")
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        whole, end = np.frombuffer(mapped, np.uint8), 0
        with tarfile.open(fileobj=mapped, mode="r:") as tar:
            for info in tar:
                if not MEMBER.fullmatch(info.name) or info.name in members or not info.isreg() or info.issparse():
                    problem = f"expected the members of a package, each once, got {info.name!r}"
                    hint = "use packages that you trust, as minicc compile writes them"
                    raise LoadError(call, problem, "the tar file", hint)
                end = info.offset_data + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                members[info.name] = whole[info.offset_data :][: info.size]
        wanted = -(-(end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
        if len(whole) != wanted:
            raise EOFError(f"{len(whole)} bytes in place of {wanted}")
    except (tarfile.TarError, OSError, EOFError, ValueError, MemoryError, OverflowError) as error:
        problem = f"expected a package, got a file that is none or is cut short: {error}"
        raise LoadError(call, problem, hint=REBUILD) from None
    if "manifest.json" not in members:
        problem = f"expected a package, got a tar without manifest.json: {', '.join(members) or 'empty'}"
        raise LoadError(call, problem, hint=REBUILD)
    return members


def _check_members(top: Entry, members: Mapping[str, Array]) -> None:
    """What the manifest lists is there, unchanged, and nothing else."""
    call, listed = top.reader.call, top.fields("members")
    for name, entry in listed:
        size, digest = entry.integer("bytes", 0, MOST_BYTES), entry.text("sha256")
        if name not in members:
            raise LoadError(call, f"expected the member {name}, got a file without it", "manifest.json", REBUILD)
        if members[name].size != size or hashlib.sha256(members[name].data).hexdigest() != digest:
            problem = (
                f"expected {name} as it was written, {size} bytes, got other content of {members[name].size} bytes"
            )
            raise LoadError(call, problem, f"member {name}", REBUILD)
    names = {name for name, _ in listed}
    if extra := set(members) - {"manifest.json"} - names:
        problem = f"expected the members that the manifest names, got {', '.join(sorted(extra))} too"
        raise LoadError(call, problem, "manifest.json", REBUILD)
    for name in {"constants", "stages"} - names:
        raise LoadError(call, f"expected the member {name}, got a file without it", "manifest.json", REBUILD)


def _target(entry: Entry) -> Target:
    kind, features = entry.text("kind"), [f.as_text(WORDS) for f in entry.items("features")]
    if kind not in LOADERS:
        raise entry.wrong("kind", f"one of {', '.join(sorted(LOADERS))}", repr(kind))
    bits, registers = entry.integer("vector_bits", 8, 1 << 16), entry.integer("registers", 1, 1 << 16)
    return Target(entry.text("triple", WORDS), entry.text("cpu", WORDS), ",".join(features), bits, registers,
                  threads=entry.integer("threads", 1, MOST_THREADS), kind=kind)  # fmt: skip


def _check_device_code(call: str, sections: Mapping[str, bytes]) -> None:
    if wrong := [name for name in sections if not DEVICE_CODE.fullmatch(f"code/{name}")]:
        raise LoadError(call, f"expected code for devices, got {wrong[0]}", "manifest.json", REBUILD)
    if SOURCE not in sections:
        raise LoadError(call, f"expected the member code/{SOURCE}, got a file without it", "manifest.json", REBUILD)
    for name in [name for name in sections if not name.endswith(".cubin")]:
        try:
            sections[name].decode()
        except UnicodeDecodeError as error:
            raise LoadError(call, f"expected text, got {error}", f"member code/{name}", REBUILD) from None


def _constant(entry: Entry, member: Array) -> Array:
    made = entry.tensor_type()
    place = entry.integer("offset", 0, MOST_BYTES)
    if place % ALIGNMENT or place + made.bytes > member.size:
        raise entry.wrong("offset", f"{made.bytes} bytes at a multiple of {ALIGNMENT} in {member.size}", place)
    return member[place:][: made.bytes].view(made.dtype.numpy).reshape(made.shape)


def _buffer(entry: Entry, constants: Sequence[Array], arena: int) -> DeviceBuffer:
    size = entry.integer("bytes", 0, MOST_BYTES)
    place = entry.integer("offset", 0, MOST_BYTES)
    if place + size > arena:
        raise entry.wrong("offset", f"{size} bytes in an arena of {arena}", place)
    if not entry.has("constant"):
        return DeviceBuffer(place, size)
    constant = entry.integer("constant", 0, len(constants) - 1)
    if constants[constant].nbytes > size:
        raise entry.wrong("bytes", f"at least the {constants[constant].nbytes} of its constant", size)
    return DeviceBuffer(place, size, constant)


def _ports(top: Entry, name: str, buffers: Sequence[DeviceBuffer], on_cpu: bool) -> tuple[Port, ...]:
    ports: list[Port] = []
    for entry in top.items(name):
        made = entry.tensor_type()
        buffer = None if on_cpu else entry.integer("buffer", 0, len(buffers) - 1)
        port = Port(entry.text("name"), made, buffer)
        if buffer is not None and made.bytes > buffers[buffer].size:
            raise entry.wrong("buffer", f"one of at least {made.bytes} bytes", f"one of {buffers[buffer].size}")
        if port.name in {p.name for p in ports}:
            raise entry.wrong("name", "another name than those before it", port.name)
        ports.append(port)
    return tuple(ports)


def _check_apart(entries: Sequence[Entry], inputs: Sequence[Port], buffers: Sequence[DeviceBuffer]) -> None:
    """A run may overwrite the buffers of inputs: they are neither one another's nor what the first run finds filled."""
    taken = [(b, f"one that holds constant {b.constant}") for b in buffers if b.constant is not None]
    for entry, port in zip(entries, inputs, strict=True):
        if port.buffer is None:
            continue
        own = buffers[port.buffer]
        for other, what in taken:
            if own.offset < other.offset + other.size and other.offset < own.offset + own.size:
                raise entry.wrong("buffer", "a buffer of its own", what)
        taken.append((own, f"that of another input, {port.buffer}"))


def _kernel(entry: Entry, buffers: int, text: Callable[[int], str], target: Target) -> KernelInfo:
    stages, symbol = _stages(entry, text), entry.text("symbol")
    if target.is_cpu and (llvm := stages.get("llvm")):
        stages["asm"] = lambda: jit.assembly(llvm() if callable(llvm) else llvm, target)
    flops, bytes = entry.integer("flops", 0, 1 << 80), entry.integer("bytes", 0, 1 << 80)
    launches = tuple(_launch(k, buffers) for k in entry.items("launches"))
    effective = entry.integer("effective", 0, 1 << 80) if entry.has("effective") else 0
    return KernelInfo(entry.text("label"), flops, bytes, symbol, launches, Stages(stages), effective)


def _memory(top: Entry, arena: int, kernels: Sequence[KernelInfo]) -> ArenaPlan:
    """The plan of the arena; an empty one where the package has none. Nothing that runs believes it."""
    if not top.has("memory"):
        return ArenaPlan()
    entry = top.entry("memory")
    steps = max(len(kernels), sum(len(k.launches) for k in kernels))
    offsets, lives = [], []
    for tensor in entry.items("tensors"):
        offsets.append(tensor.integer("offset", 0, arena))
        size, first = tensor.integer("bytes", 0, arena - offsets[-1]), tensor.integer("first", 0, steps)
        lives.append(Lifetime(size, first, tensor.integer("last", first, steps), tensor.text("name")))
    return ArenaPlan(tuple(offsets), arena, tuple(lives), entry.integer("alignment", 1, 4096))


def _launch(entry: Entry, buffers: int) -> KernelLaunch:
    grid, block = (entry.integers(name, -MOST_BYTES, MOST_BYTES, 3) for name in ("grid", "block"))
    shared_bytes = entry.integer("shared_bytes", -MOST_BYTES, MOST_BYTES)
    arguments = tuple(_argument(a, buffers) for a in entry.items("arguments"))
    made = KernelLaunch(entry.text("kernel", NAME), grid, block, shared_bytes, arguments)
    if problem := made.problem():
        raise entry.wrong(*problem)
    return made


def _argument(entry: Entry, buffers: int) -> int | Number:
    if entry.has("buffer"):
        return entry.integer("buffer", 0, buffers - 1)
    dtype = entry.dtype("dtype")
    if dtype.kind not in ("int", "uint"):
        raise entry.wrong("dtype", "an integer type", dtype.name)
    limits = np.iinfo(dtype.numpy)
    return Number(entry.integer("number", int(limits.min), int(limits.max)), dtype)


def _stages(entry: Entry, text: Callable[[int], str]) -> dict[str, Text]:
    return {name: partial(text, number.as_integer(0, MOST_BYTES)) for name, number in entry.fields("stages")}


def _texts(call: str, member: Array) -> Callable[[int], str]:
    """Text by number, unpacked when the first is asked for. Raises LoadError then."""

    @cache
    def texts() -> list[str]:
        unpacking = zlib.decompressobj()
        try:
            found = json.loads(unpacking.decompress(member.data, MOST_TEXT))
        except (zlib.error, ValueError, RecursionError) as error:
            raise LoadError(call, f"expected texts, got {error}", "member stages", REBUILD) from None
        return found if isinstance(found, list) else []

    def text(number: int) -> str:
        found = texts()
        if number >= len(found) or not isinstance(found[number], str):
            raise LoadError(call, f"expected text {number}, got none", "member stages", REBUILD)
        return found[number]

    return text
