"""Damaged networks of Darknet, for `mutate_files`: small sound ones, changed with an eye for what sections and
options mean.

In: a source of random numbers. Out: a `.cfg` and its `.weights`. A change drops, repeats or swaps sections, gives an
option another value or key, cuts a section off, or puts junk in; weights are of the network that comes of it, or cut
off, longer, of another header, or any bytes.

>>> import random
>>> list(draw(random.Random(0)))
['model.cfg', 'model.weights']
"""

from __future__ import annotations

import random as random_module
import struct

from minicc.errors import MiniccError
from minicc.frontend.darknet import read_network

Random = random_module.Random
HEADER = struct.pack("<iiiq", 0, 2, 5, 0)
MOST = 1 << 20  # parameters of a network whose weights are made
CONVOLUTION = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize={}\nstride={}\npad=1\nactivation={}\n"
NET = "[net]\nbatch=1\nwidth=32\nheight=32\nchannels=3\n"
YOLO = "[yolo]\nmask=1,2\nanchors=1,2, 3,4, 5,6\nclasses=2\nnum=3\nscale_x_y=1.1\n"
SOUND = (
    NET + CONVOLUTION.format(8, 3, 2, "leaky") + CONVOLUTION.format(8, 3, 1, "mish")
    + "[shortcut]\nfrom=-2\nactivation=linear\n[maxpool]\nsize=2\nstride=2\n" + CONVOLUTION.format(14, 1, 1, "linear")
    + YOLO + "[route]\nlayers=-3\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n" + CONVOLUTION.format(14, 1, 1, "linear")
    + YOLO,
    NET + CONVOLUTION.format(16, 3, 2, "leaky") + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n[reorg]\nstride=2\n"
    + "[route]\nlayers=-1\n" + CONVOLUTION.format(14, 1, 1, "linear")
    + "[region]\nanchors=1,2, 3,4\nclasses=2\ncoords=4\nnum=2\nsoftmax=1\n",
    NET + CONVOLUTION.format(8, 3, 1, "swish") + "groups=1\n[dropout]\nprobability=.5\n[avgpool]\n"
    + "[connected]\noutput=10\nactivation=relu\n[softmax]\ngroups=2\n[cost]\ntype=sse\n",
)  # fmt: skip
VALUES = (
    "", "0", "1", "2", "3", "7", "-1", "-7", "99999", "2147483647", "4294967296", "1e9", "nan", "0.5",
    "1,2,3", "-1,-1", "none", "x" * 999, "\x1b[2J", "=",
)  # fmt: skip
KINDS = (
    "net", "convolutional", "maxpool", "route", "shortcut", "yolo", "region", "reorg", "upsample",
    "connected", "softmax", "avgpool", "cost", "lstm", "",
)  # fmt: skip
KEYS = (
    "filters", "size", "stride", "pad", "padding", "groups", "layers", "from", "mask", "anchors", "num",
    "classes", "width", "height", "channels", "dilation", "output", "activation", "batch_normalize",
    "stride_x", "group_id",
)  # fmt: skip


def draw(random: Random) -> dict[str, bytes]:
    """The files of a damaged network."""
    content = _changed(random.choice(SOUND), random).encode(errors="replace")
    return {"model.cfg": content, "model.weights": _weights(content, random)}


def _changed(text: str, random: Random) -> str:
    sections = [part.splitlines() for part in f"\n{text}".split("\n[")[1:]]
    sections = [[f"[{lines[0]}", *lines[1:]] for lines in sections]
    for _ in range(random.randint(1, 3)):
        k = random.randrange(len(sections))
        if random.random() < 0.3:
            _reorder(sections, k, random)
        else:
            _edit(sections[k], random)
    return "\n".join("\n".join(lines) for lines in sections)


def _reorder(sections: list[list[str]], k: int, random: Random) -> None:
    change, other = random.choice(("drop", "repeat", "swap")), random.randrange(len(sections))
    if change == "drop" and len(sections) > 1:
        del sections[k]
    elif change == "repeat":
        sections.insert(other, list(sections[k]))
    else:
        sections[k], sections[other] = sections[other], sections[k]


def _edit(lines: list[str], random: Random) -> None:
    at = random.randrange(len(lines))
    key, _, value = lines[at].partition("=")
    match random.choice(("kind", "value", "value", "value", "key", "add", "cut", "junk")):
        case "kind":
            lines[0] = f"[{random.choice(KINDS)}]"
        case "value" if at:
            lines[at] = f"{key}={random.choice(VALUES)}"
        case "key" if at:
            lines[at] = f"{random.choice(KEYS)}={value}"
        case "add":
            lines.insert(1, f"{random.choice(KEYS)}={random.choice(VALUES)}")
        case "cut":
            del lines[at + 1 :]
        case _:
            lines.insert(at, "".join(chr(random.randrange(1, 300)) for _ in range(random.randrange(1, 30))))


def _weights(content: bytes, random: Random) -> bytes:
    """Zeros for the network, if it is one; not always so many, or under that header."""
    try:
        count = min(read_network(content).parameters, MOST)
    except MiniccError:
        count = 0
    whole = HEADER + bytes(4 * count)
    match random.randrange(12):
        case 0:
            return whole[: random.randrange(len(whole) + 1)]
        case 1:
            return whole + bytes(random.randrange(1, 99))
        case 2:
            return struct.pack("<iii", *random.choices((-1, 0, 1, 2, 999, 1000, 2**31 - 1), k=3)) + whole[12:]
        case 3:
            return random.randbytes(random.randrange(64))
    return whole
