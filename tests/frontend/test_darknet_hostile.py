"""Broken files of Darknet: each is refused with its exact message; mutations are refused or are networks."""

import random
import struct
import time
import tracemalloc

import numpy as np
import pytest
from darknet_files import FOLDER, HEADER

import minicc
from minicc.errors import LoadError, MiniccError
from minicc.frontend.darknet import read_network
from minicc.frontend.darknet.config import LONGEST
from minicc.testing.mutate_darknet import draw

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
CONV = "[convolutional]\nfilters=2\nsize=3\npad=1\nactivation=linear\n"
YOLO = "[convolutional]\nfilters=14\nactivation=linear\n[yolo]\nmask={}\nanchors={}\nclasses=2\nnum=2\n"
GOOD = NET + CONV
WEIGHTS = HEADER + bytes(4 * 56)


def with_conv(**options):
    """A network of one convolution with other options."""
    given = {"filters": 2, "size": 3, "pad": 1, "activation": "linear", **options}
    return NET + "[convolutional]\n" + "".join(f"{k}={v}\n" for k, v in given.items() if v is not None)


CASES = {  # name: the .cfg, the weights, the message up to its hint
    "unknown layers": (
        GOOD + "[rnn]\noutput=3\n[rnn]\n[gru]\n" + CONV.replace("linear", "stair"), WEIGHTS,
        "load('network.cfg'): what is not supported: 3, in 4 places\n    [rnn]: 2 x (line 10, 12)\n    [gru]: 1 x (line 13)\n    activation=stair: 1 x (line 14)"),
    "an option that changes the answer": (
        with_conv(xnor=1), WEIGHTS,
        "load('network.cfg'): what is not supported: 1, in 1 places\n    [convolutional] with xnor=1: 1 x (line 5)"),
    "negative filters": (
        with_conv(filters=-5), WEIGHTS,
        "load('network.cfg'): filters must be an integer in [1, 2147483647], got '-5'\n    network.cfg:6 [convolutional] filters=-5"),
    "a thousand million filters": (
        with_conv(filters=10**9), WEIGHTS,
        "load('network.cfg'): expected an output of 1 to 2,147,483,647 elements, got channels, height and width [1000000000, 8, 8]\n    network.cfg:5 [convolutional]"),
    "filters of twenty digits": (
        with_conv(filters=10**19), WEIGHTS,
        "load('network.cfg'): filters must be an integer in [1, 2147483647], got '10000000000000000000'\n    network.cfg:6 [convolutional] filters=10000000000000000000"),
    "no filters": (
        with_conv(filters=None, fliters=3), WEIGHTS,
        "load('network.cfg'): expected filters=, got none\n    network.cfg:5 [convolutional]"),
    "filters in words": (
        with_conv(filters="two"), WEIGHTS,
        "load('network.cfg'): filters must be an integer in [1, 2147483647], got 'two'\n    network.cfg:6 [convolutional] filters=two"),
    "a stride of zero": (
        with_conv(stride=0), WEIGHTS,
        "load('network.cfg'): stride must be an integer in [1, 2147483647], got '0'\n    network.cfg:10 [convolutional] stride=0"),
    "a window that is too large": (
        with_conv(size=11, pad=0), WEIGHTS,
        "load('network.cfg'): expected an output of 1 to 2,147,483,647 elements, got channels, height and width [2, -2, -2]\n    network.cfg:5 [convolutional]"),
    "weights of many terabytes": (
        with_conv(size=2**31 - 1), WEIGHTS,
        "load('network.cfg'): expected 110,680,464,339,178,094,644 bytes, a header of 20 and 27,670,116,084,794,523,656 parameters, got 244\n    weights"),
    "groups that do not divide": (
        with_conv(groups=2), WEIGHTS,
        "load('network.cfg'): groups must divide 3 channels and 2 filters, got 2\n    network.cfg:10 [convolutional] groups=2"),
    "a huge picture": (
        GOOD.replace("width=8", "width=2000000000"), WEIGHTS,
        "load('network.cfg'): expected an output of 1 to 2,147,483,647 elements, got channels, height and width [3, 8, 2000000000]\n    network.cfg:1 [net]"),
    "no width": (
        GOOD.replace("width=8\n", ""), WEIGHTS,
        "load('network.cfg'): expected width=, got none\n    network.cfg:1 [net]"),
    "a route to itself": (
        GOOD + "[route]\nlayers=1\n", WEIGHTS,
        "load('network.cfg'): layers must list layers above this one, number 1: 0 to 0, or -1 to -1; got '1'\n    network.cfg:11 [route] layers=1"),
    "a route forward": (
        GOOD + "[route]\nlayers=-1,7\n" + CONV, WEIGHTS,
        "load('network.cfg'): layers must list layers above this one, number 1: 0 to 0, or -1 to -1; got '-1,7'\n    network.cfg:11 [route] layers=-1,7"),
    "a route too far back": (
        GOOD + "[route]\nlayers=-2\n", WEIGHTS,
        "load('network.cfg'): layers must list layers above this one, number 1: 0 to 0, or -1 to -1; got '-2'\n    network.cfg:11 [route] layers=-2"),
    "a route to nothing": (
        GOOD + "[route]\nlayer=-1\n", WEIGHTS,
        "load('network.cfg'): layers must list layers above this one, number 1: 0 to 0, or -1 to -1; got 'none'\n    network.cfg:10 [route]"),
    "a route of two sizes": (
        GOOD + "[maxpool]\nsize=2\nstride=2\n[route]\nlayers=0,1\n", WEIGHTS,
        "load('network.cfg'): expected outputs of one height and width, whose channels 1 groups divide; got layer 0 [2, 8, 8], layer 1 [2, 4, 4]\n    network.cfg:14 [route] layers=0,1"),
    "a part that there is not": (
        GOOD + "[route]\nlayers=0\ngroups=2\ngroup_id=2\n", WEIGHTS,
        "load('network.cfg'): group_id must be an integer in [0, 1], got '2'\n    network.cfg:13 [route] group_id=2"),
    "a first layer that is a shortcut": (
        NET + "[shortcut]\nfrom=-1\n", b"",
        "load('network.cfg'): from must list layers above this one, number 0: 0 to -1, or -1 to 0; got '-1'\n    network.cfg:6 [shortcut] from=-1"),
    "a shortcut to a smaller layer": (
        GOOD + "[maxpool]\nsize=2\nstride=2\n[upsample]\nstride=2\n[shortcut]\nfrom=-2\n", WEIGHTS,
        "load('network.cfg'): expected heights and widths of one whole ratio, got [2, 4, 4] to add to [2, 8, 8]\n    network.cfg:16 [shortcut] from=-2"),
    "a mask out of range": (
        NET + YOLO.format("0,5", "1,2,3,4"), b"",
        "load('network.cfg'): mask must be an integer in [0, 1], got '5'\n    network.cfg:9 [yolo] mask=0,5"),
    "too few anchors": (
        NET + YOLO.format("0,1", "1,2,3"), b"",
        "load('network.cfg'): anchors must be 4 positive numbers, two for each of num=2, got 3\n    network.cfg:10 [yolo] anchors=1,2,3"),
    "an anchor of nothing": (
        NET + YOLO.format("0,1", "1,2,3,0"), b"",
        "load('network.cfg'): anchors must be 4 positive numbers, two for each of num=2, got 4\n    network.cfg:10 [yolo] anchors=1,2,3,0"),
    "an anchor that is no number": (
        NET + YOLO.format("0,1", "1,2,3,nan"), b"",
        "load('network.cfg'): anchors must be a finite number, got 'nan'\n    network.cfg:10 [yolo] anchors=1,2,3,nan"),
    "classes that do not fit": (
        NET + YOLO.format("0", "1,2,3,4"), b"",
        "load('network.cfg'): expected 1 * (4 + 1 + 2) = 7 channels of 1 anchors, got 14\n    network.cfg:11 [yolo] classes=2"),
    "reorg of odd sides": (
        NET.replace("8", "9") + "[reorg]\nstride=2\n", b"",
        "load('network.cfg'): stride must divide height and width, and its square the channels of [3, 9, 9], got 2\n    network.cfg:6 [reorg] stride=2"),
    "no [net]": (
        CONV, WEIGHTS,
        "load('network.cfg'): expected [net] and layers, got [convolutional]\n    network.cfg:1 [convolutional]"),
    "no layers": (
        NET, b"",
        "load('network.cfg'): expected [net] and layers, got no layer below it\n    network.cfg:1 [net]"),
    "an option above all sections": (
        "width=8\n" + GOOD, WEIGHTS,
        "load('network.cfg'): expected [net] first, got 'width=8'\n    network.cfg:1 []"),
    "a line that is nothing": (
        GOOD + "filters 3\n", WEIGHTS,
        "load('network.cfg'): expected [SECTION] or KEY=VALUE, got 'filters3' in line 10\n    network.cfg:5 [convolutional]"),
    "a section that does not end": (
        GOOD + "[maxpool\nsize=2\n", WEIGHTS,
        "load('network.cfg'): expected [SECTION] or KEY=VALUE, got '[maxpool' in line 10\n    network.cfg:5 [convolutional]"),
    "UTF-16": (
        GOOD.encode("utf-16"), WEIGHTS,
        "load('network.cfg'): expected UTF-8 text, got UTF-16\n    network.cfg:1 []"),
    "bytes that are no text": (
        GOOD.encode() + b"\0\1\2", WEIGHTS,
        "load('network.cfg'): expected the text of a Darknet .cfg, got bytes that are no text\n    network.cfg:1 []"),
    "a picture": (
        b"\x89PNG\r\n\x1a\n" + bytes(50), WEIGHTS,
        "load('network.cfg'): expected the text of a Darknet .cfg, got a PNG image\n    network.cfg:1 []"),
    "a hundred thousand bytes too many": (
        GOOD + "#" * (1 << 17), WEIGHTS,
        "load('network.cfg'): expected a .cfg of at most 131,072 bytes, got more\n    network.cfg:1 []"),
    "ten thousand layers": (
        NET + "[dropout]\n" * 10_000, b"",
        "load('network.cfg'): expected at most 5,000 sections, got more\n    network.cfg:5004 [dropout]"),
    "weights that are cut off": (
        GOOD, WEIGHTS[:-3],
        "load('network.cfg'): expected 244 bytes, a header of 20 and 56 parameters, got 241\n    weights"),
    "weights with a rest": (
        GOOD, WEIGHTS + bytes(4),
        "load('network.cfg'): expected 244 bytes, a header of 20 and 56 parameters, got 248\n    weights"),
    "weights with the header of another version": (
        GOOD, struct.pack("<iii", 0, 1, 0) + WEIGHTS[12:],
        "load('network.cfg'): expected 240 bytes, a header of 16 and 56 parameters, got 244\n    weights"),
    "weights of no version": (
        GOOD, b"\xff" * 12 + WEIGHTS[12:],
        "load('network.cfg'): expected a version such as 0.2, got -1.-1\n    weights"),
    "no weights": (
        GOOD, None,
        "load('network.cfg'): expected weights, 56 parameters, got none\n    network.cfg"),
    "weights of nothing": (
        GOOD, b"",
        "load('network.cfg'): expected a header of 16 or 20 bytes, got 0 bytes\n    weights"),
    "a page in place of weights": (
        GOOD, b"<!DOCTYPE html><html>" + b"sign in " * 99,
        "load('network.cfg'): expected Darknet weights, got an HTML page\n    weights"),
    "the .cfg in place of weights": (
        GOOD, GOOD.encode(),
        "load('network.cfg'): expected Darknet weights, got text that begins with '[net]'\n    weights"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_broken_files(case):
    content, weights, message = CASES[case]
    content = content.encode() if isinstance(content, str) else content
    with pytest.raises(LoadError) as caught:
        minicc.frontend.darknet.load(content, weights=weights)
    text, _, hint = str(caught.value).partition("\nhint: ")
    assert text == f"LoadError: {message}" and len(hint) > 5


def test_files_that_are_not_there(tmp_path):
    (tmp_path / "a.cfg").write_text(GOOD)
    for source, message in (
        (tmp_path / "b.cfg", "nothing called 'b.cfg'"),
        (tmp_path / "a.cfg", "nothing called 'a.weights'"),
    ):
        with pytest.raises(LoadError, match=message):
            minicc.load(source)
    with pytest.raises(LoadError, match="got a folder"):
        minicc.load(tmp_path / "a.cfg", weights=tmp_path)
    with pytest.raises(LoadError, match="with weights= of its own, got another model"):
        minicc.load(b"", weights=b"")


def test_weights_outside_the_folder_are_not_read(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.cfg").write_text(GOOD)
    (tmp_path / "secret").write_bytes(WEIGHTS)
    (folder / "a.weights").symlink_to(tmp_path / "secret")
    with pytest.raises(LoadError, match="got a link to"):
        minicc.load(folder / "a.cfg")
    assert minicc.load(folder / "a.cfg", weights=tmp_path / "secret").outputs


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n# \n;\n"])
def test_lines_end_in_any_way(end):
    content = b"\xef\xbb\xbf" + GOOD.replace("\n", end).encode() + b"# \xff\xfe no UTF-8"
    assert minicc.frontend.darknet.load(content, weights=WEIGHTS).outputs[0].type.shape == (1, 2, 8, 8)


@pytest.mark.parametrize("number", range(60))
def test_mutations_are_refused_or_networks(number):
    """Each in little time, with memory that is bounded by the size of its files."""
    files = draw(random.Random(f"darknet {number}"))
    tracemalloc.start()
    started = time.perf_counter()
    try:
        network = read_network(files["model.cfg"])
        graph = minicc.load(files["model.cfg"], weights=files["model.weights"])
        shapes = [layer.shape for layer in network.layers if layer.head] or [network.layers[-1].shape]
        assert [n.type.shape[1:] for n in graph.outputs] == shapes
    except MiniccError as error:
        assert error.hint and error.where
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.perf_counter() - started < 10 and peak < (64 << 20) + 4 * len(files["model.weights"])


@pytest.mark.slow
def test_lists_that_are_as_long_as_a_file_may_be():
    """In less than the time of a hang on a busy machine."""
    start, started = "[net]\nwidth=1\nheight=1\nchannels=1\n[dropout]\n[dropout]\n", time.perf_counter()
    for section in ("[route]\nlayers=", "[shortcut]\nfrom="):
        room = (LONGEST - len(start) - len(section)) // 2
        assert minicc.load((start + section + "0," * room).encode()).outputs[0].type.rank == 4
    assert time.perf_counter() - started < 10


def test_damaged_bytes_of_a_configuration():
    content, chance = (FOLDER / "yolov3-tiny.cfg").read_bytes(), random.Random(3)
    for _ in range(30):
        damaged = np.frombuffer(content, np.uint8).copy()
        at = [chance.randrange(damaged.size) for _ in range(4)]
        damaged[at] = [chance.randrange(256) for _ in at]
        try:
            read_network(damaged.tobytes())
        except MiniccError as error:
            assert error.hint
