"""The architectures of CUDA devices: which machine code of an image runs on which.

In: an image and a compute capability. Out: a cubin, or PTX that the driver compiles.

>>> capability_of("sm_90a"), runs_on("sm_80", (8, 6)), runs_on("sm_90a", (10, 0))
((9, 0), True, False)

Source: NVIDIA, CUDA C++ Programming Guide, 3.1, on compatibility.
"""

from __future__ import annotations

import re

from minicc.errors import BridgeError
from minicc.runtime.image import Image

ARCH = re.compile(r"(?:sm|compute)_([0-9]{2,3})(a?)")
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_90a")  # Turing, Ampere twice, Ada, Hopper, its own


def capability_of(arch: str) -> tuple[int, int]:
    """(9, 0) of `sm_90` and of `sm_90a`. Raises BridgeError when it is the name of none."""
    found = ARCH.fullmatch(arch)
    if found is None:
        hint = "give --arch sm_90, again for each architecture"
        raise BridgeError(f"architecture {arch!r}", f"expected a name such as sm_90, got {arch!r}", hint=hint)
    return int(found[1][:-1]), int(found[1][-1])


def runs_on(arch: str, capability: tuple[int, int]) -> bool:
    """Whether a cubin runs on a device of this compute capability: of its generation, and not older; that of sm_90a on no other."""
    own = capability_of(arch)
    return own == capability if arch.endswith("a") else own[0] == capability[0] and own[1] <= capability[1]


def held_by(image: Image) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The cubins of an image, and its PTX, each by architecture."""
    parts = {
        name.split(".")[1]: content for name, content in image.sections.items() if name.endswith((".cubin", ".ptx"))
    }
    cubins = {arch: content for arch, content in parts.items() if arch.startswith("sm_")}
    return cubins, {f"sm_{arch[8:]}": content for arch, content in parts.items() if arch not in cubins}


def code_for(image: Image, capability: tuple[int, int]) -> tuple[str, bytes]:
    """What a device of this compute capability can run, with its architecture. Raises BridgeError when the image has nothing for it."""
    cubins, ptx = held_by(image)
    if able := [arch for arch in cubins if runs_on(arch, capability)]:
        best = max(able, key=lambda arch: (capability_of(arch), arch.endswith("a")))
        return best, cubins[best]
    if older := [arch for arch in ptx if capability_of(arch) <= capability]:
        best = max(older, key=capability_of)
        return best, ptx[best] + b"\0"
    own, held = "sm_{}{}".format(*capability), ", ".join([*cubins, *(f"PTX of {arch}" for arch in ptx)])
    problem = f"expected code for {own}, got that for other architectures: {held or 'source only'}"
    raise BridgeError(f"run({image.name})", problem, hint=f"compile with --arch {own}")
