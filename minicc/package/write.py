"""Writing a package: a tar file with a manifest before its members, the same for the same image.

In: an image. Out: a file, whole or not there. Members have no times and no owners; each begins at a multiple of
512 bytes of the file, and each constant at a multiple of 64 of its member, so that whoever reads them need not copy.

    write(exe.image, Path("model.tar"))
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from minicc.errors import ConfigError
from minicc.ir.arrays import Array
from minicc.package.manifest import ALIGNMENT, FORMAT, VERSION, is_printable
from minicc.runtime.files import new_file
from minicc.runtime.image import Image, KernelInfo, KernelLaunch, Number, Port
from minicc.runtime.plan import ArenaPlan
from minicc.target import Target
from minicc.types import TensorType

COMPRESSION = 1  # of texts: half a second faster than the best, and a quarter larger
DERIVED = ("asm", "cuda")  # made again from the text of LLVM, and from the section of sources


def write(image: Image, path: Path) -> None:
    """Write the image to `path`, replacing what is there at once. Raises ConfigError when that is not possible."""
    with new_file(path) as file:
        write_to(image, file)


def write_to(image: Image, file: BinaryIO) -> None:
    """Write the image to an open file. Raises ConfigError when a name in it cannot be printed."""
    names = [image.name, *(p.name for p in (*image.inputs, *image.outputs)), *(k.label for k in image.kernels)]
    names += [life.name for life in image.memory.lifetimes]
    if wrong := [name for name in names if not is_printable(name)]:
        problem = f"expected printable names, got {wrong[0]!a:.60}"
        raise ConfigError(f"write({image.name!a:.60})", problem, hint="rename it in the model")
    members: dict[str, list[Any]] = {f"code/{name}": [content] for name, content in image.sections.items()}
    members["constants"] = list(_aligned(image.constants))
    texts: dict[str, int] = {}  # by content: its number
    manifest = _manifest(image, texts)
    members["stages"] = [zlib.compress(json.dumps(list(texts)).encode(), COMPRESSION)]
    manifest["members"] = {name: _digest(parts) for name, parts in members.items()}
    content = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    for name, parts in {"manifest.json": [content], **members}.items():
        _add(file, name, parts)
    end = file.tell() + 2 * tarfile.BLOCKSIZE  # the mark at the end is two blocks of zeros
    file.write(bytes(-(-end // tarfile.RECORDSIZE) * tarfile.RECORDSIZE - file.tell()))


def _aligned(constants: tuple[Array, ...]) -> Iterator[Any]:
    """The bytes of each constant, and zeros up to a multiple of ALIGNMENT."""
    for array in constants:
        yield array.reshape(-1).view("u1").data
        yield bytes(-array.nbytes % ALIGNMENT)


def _digest(parts: list[Any]) -> dict[str, Any]:
    made = hashlib.sha256()
    for part in parts:
        made.update(part)
    return {"bytes": sum(map(len, parts)), "sha256": made.hexdigest()}


def _add(file: BinaryIO, name: str, parts: list[Any]) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = sum(map(len, parts)), 0o644
    for part in (info.tobuf(tarfile.GNU_FORMAT), *parts, bytes(-info.size % tarfile.BLOCKSIZE)):
        file.write(part)


def _manifest(image: Image, texts: dict[str, int]) -> dict[str, Any]:
    """All but the members; texts are told by their number in `texts`, which grows."""
    constants, place = [], 0
    for array in image.constants:
        constants.append({**_type(TensorType.of(array)), "offset": place})
        place += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    buffers = [{"offset": b.offset, "bytes": b.size} | ({} if b.constant is None else {"constant": b.constant})
               for b in image.buffers]  # fmt: skip
    return {
        "format": FORMAT, "version": VERSION, "minicc": _own_version(), "name": image.name, "target": _target(image.target),
        "inputs": [_port(p) for p in image.inputs], "outputs": [_port(p) for p in image.outputs],
        "entry": image.entry, "arena": image.arena, "threads": image.threads, "buffers": buffers, "constants": constants,
        "kernels": [_kernel(k, texts) for k in image.kernels], "stages": _stages(image.stages, texts), "memory": _memory(image.memory),
    }  # fmt: skip


def _own_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("minicc")
    except metadata.PackageNotFoundError:  # not installed, but on the path
        return "unknown"


def _target(t: Target) -> dict[str, Any]:
    features = list(filter(None, t.features.split(",")))
    return {"kind": t.kind, "triple": t.triple, "cpu": t.cpu, "features": features, "vector_bits": t.vector_bits,
            "registers": t.registers, "threads": t.threads}  # fmt: skip


def _type(t: TensorType) -> dict[str, Any]:
    return {"dtype": t.dtype.name, "shape": list(t.shape)}


def _port(p: Port) -> dict[str, Any]:
    return {"name": p.name, **_type(p.type)} | ({} if p.buffer is None else {"buffer": p.buffer})


def _kernel(k: KernelInfo, texts: dict[str, int]) -> dict[str, Any]:
    return {"label": k.label, "flops": k.flops, "bytes": k.bytes, "symbol": k.symbol,
            **({"effective": k.effective} if k.effective else {}),
            "launches": [_launch(launch) for launch in k.launches], "stages": _stages(k.stages, texts)}  # fmt: skip


def _memory(plan: ArenaPlan) -> dict[str, Any]:
    lives = zip(plan.lifetimes, plan.offsets, strict=True)
    tensors = [{"offset": at, "bytes": k.size, "first": k.first, "last": k.last, "name": k.name} for k, at in lives]
    return {"alignment": plan.alignment, "tensors": tensors}


def _launch(k: KernelLaunch) -> dict[str, Any]:
    numbers = [
        {"number": a.value, "dtype": a.dtype.name} if isinstance(a, Number) else {"buffer": a} for a in k.arguments
    ]
    return {"kernel": k.kernel, "grid": k.grid, "block": k.block, "shared_bytes": k.shared_bytes, "arguments": numbers}


def _stages(stages: Mapping[str, str], texts: dict[str, int]) -> dict[str, int]:
    return {name: texts.setdefault(stages[name], len(texts)) for name in stages if name not in DERIVED}
