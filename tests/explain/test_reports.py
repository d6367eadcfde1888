"""Reports of measurements: their numbers are those of the profile, rectangles of a memory plan are apart, and names inject nothing."""

import json
import re
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc import ops
from minicc.errors import ConfigError, RunError
from minicc.explain import browser, draw_memory, draw_profile, draw_roofline
from minicc.explain.draw_bars import Bar, bars
from minicc.explain.draw_bench import report as bench_report
from minicc.explain.picture import amount, wide
from minicc.explain.report import report
from minicc.graph.control import loop
from minicc.graph.ir import Graph, input
from minicc.ops.base import OPERAND
from minicc.runtime.image import KernelInfo
from minicc.runtime.plan import ArenaPlan, Lifetime, plan
from minicc.runtime.profile import KernelRow, Profile, kernel_rows, profile
from minicc.runtime.roofline import Roofline
from minicc.runtime.staged import StagedExecutable
from minicc.testing.bench import BenchResult, BenchTiming
from minicc.types import Symbol, TensorType, float32, int64

SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.text(max_size=20) | st.sampled_from(["<script>alert(1)</script>", "\x1b[31m\x00", "'\"/>", "</style>", "]]>", "\ud800"])  # fmt: skip


class Limits(Roofline):
    """A machine of these limits."""

    def __init__(self, peak=100e9, memory=10e9, **caches):
        self.found = {**caches, "memory": memory, "peak": peak}

    def limits(self):
        return self.found


def shapes(picture, tag):
    """What is drawn: the attributes of each such shape as numbers where they are, its class, what is said on it."""
    found = []
    for e in xml.fromstring(picture.svg().encode()).iter(f"{SVG}{tag}"):
        if e.get("class") != "paper":
            numbers = {k: float(v) for k, v in e.attrib.items() if re.fullmatch(r"-?[\d.]+", v)}
            found.append({**numbers, "kind": e.get("class", ""), "words": e.findtext(f"{SVG}title") or e.text or ""})
    return found


def a_profile(starts, names, roofline=None, memory=None):
    """Of calls of kernels by these names, one after the other."""
    calls = [KernelInfo(name, 10**6, 10**4, name) for name in names]
    seconds = np.diff(starts).tolist()
    return Profile("net", "cpu", 1, kernel_rows(calls, seconds), calls, seconds, starts, roofline, memory)


# ---- memory plans --------------------------------------------------------------------------------

lifetimes = st.lists(
    st.builds(lambda size, first, length: Lifetime(size, first, first + length, f"t{first}"), st.integers(0, 5000), st.integers(0, 12), st.integers(0, 6)),
    max_size=14,
)  # fmt: skip


@given(lifetimes)
def test_rectangles_of_a_plan_are_apart_and_in_the_arena(lives):
    """To a tenth of a pixel, to which they are drawn; and the bytes in use are those of who is alive."""
    made = plan(lives)
    use = made.in_use()
    assert use == [sum(room for life, room in zip(lives, made.rooms, strict=True) if life.first <= t <= life.last) for t in range(len(use))]  # fmt: skip
    assert made.size >= max(use, default=0) and made.unshared == sum(made.rooms)
    arena, *tensors = [r for r in shapes(draw_memory.draw(made), "rect") if "bytes" in r["words"]]
    assert len(tensors) == sum(room > 0 for room in made.rooms)
    for n, a in enumerate(tensors):
        assert arena["x"] - 0.1 <= a["x"] and a["x"] + a["width"] <= arena["x"] + arena["width"] + 0.2
        assert arena["y"] - 0.1 <= a["y"] and a["y"] + a["height"] <= arena["y"] + arena["height"] + 0.2
        for b in tensors[:n]:
            across = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
            down = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
            assert across < 0.25 or down < 0.25, (a, b)


def test_a_plan_says_its_peak_and_what_sharing_saves():
    made = plan([Lifetime(1000, 0, 1, "a"), Lifetime(600, 1, 2, "b"), Lifetime(1000, 2, 3, "workspace of c")])
    shown = made.picture()
    assert "3 tensors in an arena of 1.66 kB, over 4 calls" in shown.words and "take 2.69 kB, 1.6 times" in shown.words
    assert "peak: 1.66 kB at call 2" in shown.svg()
    kinds = {r["words"]: r["kind"] for r in shapes(shown, "rect") if "bytes, call" in r["words"]}
    assert kinds == {"a: 1,000 bytes, calls 1 to 2": "c3", "b: 600 bytes, calls 2 to 3": "c3", "workspace of c: 1,000 bytes, calls 3 to 4": "c2"}  # fmt: skip
    assert "empty arena" in ArenaPlan().picture().words


def test_a_plan_that_a_file_tells_wrongly_stays_in_the_picture():
    """A package may say anything of a plan; no rectangle leaves the arena."""
    made = ArenaPlan((0, 60), 100, (Lifetime(50, 0, 1, "a"), Lifetime(40, 0, 0, "b")), 4096)
    arena, *tensors = [r for r in shapes(made.picture(), "rect") if "bytes" in r["words"]]
    assert len(tensors) == 2 and all(r["y"] + r["height"] <= arena["y"] + arena["height"] + 0.2 for r in tensors)
    assert not shapes(ArenaPlan((0,), 0, (Lifetime(0, 0, 0, "c"),)).picture(), "rect")[4:]


def test_a_plan_of_many_tensors_is_drawn_in_parts(monkeypatch):
    monkeypatch.setattr(draw_memory, "MOST", 300)
    made = plan([Lifetime(64 * (1 + k % 7), k, k + 2, f"t{k}") for k in range(500)])
    whole = draw_memory.draw(made)
    assert len(shapes(whole, "rect")) < 310 and "The 300 largest" in whole.words
    parts = dict(draw_memory.parts(made))
    assert len(parts) == -(-502 // draw_memory.PART)
    said = "".join(picture.svg() for picture in parts.values())
    assert all(f">t{k}: " in said for k in range(500))


# ---- profiles ------------------------------------------------------------------------------------


def test_numbers_of_a_report_are_those_of_the_profile(tmp_path):
    starts = [0.0, 1e-3, 1.5e-3, 4e-3]
    memory = plan([Lifetime(1000, 0, 1, "a"), Lifetime(600, 1, 2, "b")])
    made = report(a_profile(starts, ["conv", "relu", "conv"], Limits(), memory))
    for ending in (".html", ".svg", ".json"):
        made.save(tmp_path / f"made{ending}")
    page = (tmp_path / "made.html").read_text()
    assert "4 ms in 3 calls of 2 kernels" in page and "<td>conv</td><td>2</td><td>3500.0</td><td>87.5%</td>" in page
    assert [h for h, _ in made.sections] == ["Kernels", "Roofline", "One run", "Memory"]
    assert page.count("<svg ") == 5 and "calls 1 to 3, from 0 s to 4 ms" in page
    found = json.loads((tmp_path / "made.json").read_text())
    assert (
        [c["start"] for c in found["calls"]] == starts[:-1]
        and found["end"] == 4e-3
        and found["memory"]["size"] == memory.size
    )
    assert xml.fromstring((tmp_path / "made.svg").read_text()).findtext(f"{SVG}title") == "Where the time of net goes"
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.html or \.png"):
        made.save(tmp_path / "made.txt")


@given(st.lists(st.floats(1e-6, 1e-2), min_size=1, max_size=90))
def test_calls_stand_where_they_were_in_time(seconds):
    starts = np.cumsum([0, *seconds]).tolist()
    found = a_profile(starts, [f"k{n % 5}" for n in range(len(seconds))])
    calls = [r for r in shapes(draw_profile.run(found), "rect") if r["words"].startswith("call ")]
    scale = (calls[-1]["x"] + calls[-1]["width"] - calls[0]["x"]) / starts[-1]
    for call, start, took in zip(calls, starts, seconds, strict=False):
        assert call["x"] == pytest.approx(calls[0]["x"] + start * scale, abs=1.5)
        assert call["width"] == pytest.approx(max(took * scale, 0.5), abs=1.5) and amount(took, "s") in call["words"]
    rows = [r for _, part in draw_profile.parts(found) for r in shapes(part, "rect")]
    assert [r["words"].split(":")[0] for r in rows] == [f"call {n + 1}" for n in range(len(seconds))]


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**8), st.floats(0, 1e-2)), max_size=30),
    st.floats(1e9, 1e13),
    st.floats(1e9, 1e12),
)
def test_dots_stand_where_their_kernels_are_and_labels_are_apart(kernels, peak, memory):
    rows = [KernelRow(f"kernel_{n}", 1, *k) for n, k in enumerate(kernels)]
    picture = draw_roofline.draw(Limits(peak, memory, L1=memory * 8), rows)
    dots = {d["words"].split()[1].rstrip(":"): d for d in shapes(picture, "circle")}
    assert set(dots) == {k.name for k in rows if k.flops and k.bytes and k.seconds}
    by_intensity = sorted((k.flops / k.bytes, dots[k.name]["cx"]) for k in rows if k.name in dots)
    assert [x for _, x in by_intensity] == sorted(x for _, x in by_intensity)
    total = sum(k.seconds for k in rows)
    for k in rows:
        if k.name in dots:
            assert dots[k.name]["r"] == pytest.approx(
                max(draw_roofline.LARGEST * (k.seconds / total) ** 0.5, 2.5), abs=0.06
            )
            assert 0 < dots[k.name]["cx"] < picture.width and 0 <= dots[k.name]["cy"] <= picture.height
    boxes = [(t["x"], t["y"] - 11, t["x"] + wide(t["words"]), t["y"] + 2) for t in shapes(picture, "text") if re.match(r"\d+( kernel_\d+)?$", t["words"]) and t["kind"] == "halo"]  # fmt: skip
    for n, a in enumerate(boxes):
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in boxes[:n])


def test_a_roofline_shows_each_limit_with_its_number():
    words = draw_roofline.draw(Limits(276e9, 40e9, L2=200e9)).svg()
    assert all(f">{said}<" in words for said in ("L2: 200 GB/s", "memory: 40 GB/s", "peak: 276 GFLOP/s"))


def test_a_roofline_of_a_fast_cache_stays_under_its_roof():
    """Where the peak is small beside the cache, the two meet far to the left."""
    drawn = draw_roofline.draw(Limits(38.7e9, 6.79e9, L1=755e9))
    assert all(t["y"] >= draw_roofline.TOP for t in shapes(drawn, "text") if t["words"].endswith("B/s"))


def test_words_on_an_axis_of_time_end_in_the_picture():
    drawn = draw_profile.run(a_profile([0.0, 1e-7], ["exp"]))
    ticks = [t for t in shapes(drawn, "text") if t["words"].endswith(" ns")]
    assert len(ticks) > 2 and max(t["x"] + wide(t["words"]) / 2 for t in ticks) <= drawn.width


@given(NAMES)
def test_names_are_words_in_every_report(name):
    memory = plan([Lifetime(100, 0, 1, name), Lifetime(60, 1, 1, f"workspace of {name}")])
    found = a_profile([0.0, 1e-3, 2e-3], [name, f"{name}2"], Limits(), memory)
    result = BenchResult(name, 1, 1, [BenchTiming("minicc", 0.5, [0.002] * 3), BenchTiming(name, 0.5, [0.003] * 3)])
    for made in (report(found), bench_report([result], {name: found})):
        page = made.page()
        assert "<script" not in page and "script-src 'none'" in page and not re.search("https?://(?!www.w3.org)", page)
        tree = xml.fromstring(made.together().svg().encode())
        allowed = {"svg", "title", "desc", "style", "rect", "circle", "g", "polyline", "path", "text"}
        assert {e.tag.removeprefix(SVG) for e in tree.iter()} <= allowed
        json.loads(json.dumps(made.record))


def test_a_bench_report_says_every_number_in_words():
    timings = [
        BenchTiming("minicc", 1.5, [0.002] * 3),
        BenchTiming("onnxruntime", 0.5, [0.003] * 3),
        BenchTiming("relay", problem="no <tvm>"),
    ]
    made = bench_report([BenchResult("net", 4, 2, timings)])
    page = made.page()
    assert "net, batch 4, 2 threads" in page and "<td>2.00 ±0%</td><td>3.00 ±0%</td><td>-</td><td>1.50</td>" in page
    assert "minicc: 2 ms ±0%, built in 1.5 s" in page and "net: no relay: no &lt;tvm&gt;" in page
    ours, other = (r["width"] for r in shapes(made.sections[0][1], "rect")[:2])
    assert other / ours == pytest.approx(1.5, rel=0.01)


def test_bars_that_a_screen_does_not_hold_are_counted():
    made = bars("Many", [Bar(f"b{k}", 100.0 - k, f"{k}") for k in range(60)])
    assert "and 35 more" in made.svg() and made.height < 700 and bars("None", []).words == "None. None."


# ---- executables ---------------------------------------------------------------------------------

N = Symbol("n")


@pytest.fixture(scope="module")
def small_limits():
    """Limits that are measured in no time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("STEPS", 1000), ("READ", 1 << 16), ("MEMORY", 1 << 18), ("MOST", 1 << 16)):
            patch.setattr(f"minicc.runtime.roofline.{name}", value)
        patch.setattr("minicc.runtime.stamps.MOST_RUNS", 3)
        minicc.runtime.roofline._made.cache_clear()
        yield
    minicc.runtime.roofline._made.cache_clear()


def looped():
    """A graph of any size, whose data decide the shape of what it gives."""
    x, shape = input("x", TensorType(float32, (N, 6))), input("shape", TensorType(int64, (2,)))
    return Graph("g", (x, shape), (ops.Relu()(ops.Reshape(OPERAND)(x, shape)),), ("y",))


def test_what_compiles_as_it_is_called_is_profiled_and_drawn(small_limits):
    exe = minicc.compile(looped(), dims="any")
    assert "0 calls of 0 kernels" in exe.picture().words
    with pytest.raises(RunError, match="expected a model whose shapes are known"):
        _ = exe.memory_plan
    found = profile(exe, [np.ones((4, 6), np.float32), np.array([3, 8])])
    assert len(found.calls) == len(found.seconds) == len(found.starts) - 1 == len(exe.kernels) > 0
    assert found.starts[0] == 0 and found.memory.size == exe.arena_bytes and found.picture().html()
    assert f"{len(exe.kernels)} call" in exe.picture().words


def test_what_data_decide_is_profiled_stage_by_stage(small_limits):
    """The kernels before and after the operator whose result has a shape of its own, as of one executable."""
    x, y = input("x", TensorType(float32, (3, 40))), input("y", TensorType(float32, (40, 40)))
    found = ops.NonZero()(ops.Exp()(ops.MatMul()(ops.MatMul()(x, y), y)))
    exe = minicc.compile(Graph("g", (x, y), (ops.Neg()(found),), ("n",)))
    assert isinstance(exe, StagedExecutable)
    made = profile(exe, (np.ones((3, 40), np.float32), np.ones((40, 40), np.float32)))
    assert len(made.starts) == len(made.calls) + 1 > 2 and (np.diff(made.starts) >= 0).all()
    assert made.memory.size == exe.arena_bytes > 0 and len(made.memory.in_use()) <= len(made.calls)


def test_a_loop_that_makes_no_trip_is_timed(small_limits):
    """Its body takes no time, and was given nothing."""
    trips, v = input("trips", TensorType(int64, ())), input("v", TensorType(float32, (4,)))
    last, *_ = loop(lambda _, v: ([ops.Exp()(v)], []), trips, [v])
    exe = minicc.compile(Graph("g", (trips, v), (last,), ("y",)))
    stamps = exe.stamps(np.int64(0), np.ones(4, np.float32))
    assert stamps.shape[1] == len(exe.kernels) + 1 > 1 and not stamps.any()


def test_an_executable_shows_its_ports_kernels_and_memory():
    x, w = input("x<1>", TensorType(float32, (4, 40))), input("w", TensorType(float32, (40, 40)))
    h = ops.Softmax(1)(ops.MatMul()(x, w))
    exe = minicc.compile(Graph("g", (x, w), (ops.MatMul()(h, w),), ("y",)), threads=1)
    assert {life.name.removeprefix("workspace of ") for life in exe.memory_plan.lifetimes} <= {
        k.label for k in exe.kernels
    }
    page = exe.picture().page()
    assert "x&lt;1&gt;: float32[4,40]" in page and "y: float32[4,40]" in page and f"{len(exe.kernels)} calls of" in page
    for k in exe.kernels:
        assert f"{amount(k.flops, 'FLOP')}, {amount(k.bytes, 'B')}" in page
    assert "Memory plan" in page and exe._repr_html_()


# ---- in a browser --------------------------------------------------------------------------------

# The pictures of a page: how wide each is, whether it is seen, and the room that there is.
SEEN = """(() => { const all = [...document.querySelectorAll('figure > svg')], box = e => e.getBoundingClientRect();
return {room: document.documentElement.clientWidth, across: document.documentElement.scrollWidth, svgs: all.map(e => [box(e).left, box(e).right, e.checkVisibility()])} })()"""


@pytest.mark.browser
def test_a_report_is_read_on_a_telephone_and_prints_whole(tmp_path):
    """On paper every section is open and no picture is cut; in a narrow window a picture scrolls, not the page."""
    memory = plan([Lifetime(1000 + k, k, k + 2, f"t{k}") for k in range(90)])
    found = a_profile(np.linspace(0, 1, 91).tolist(), [f"kernel_{k}" for k in range(90)], Limits(), memory)
    made = report(found)
    with browser.Browser("test") as window:
        window.size(400)
        window.show(made.page())
        narrow = window.run(SEEN)
        assert narrow["across"] <= narrow["room"] == 400 and any(right > 400 for _, right, _ in narrow["svgs"])
        assert [seen for *_, seen in narrow["svgs"]].count(False) == 3 + 2
        window.size(700)
        window.tell("Emulation.setEmulatedMedia", media="print")
        paper = window.run(SEEN)
        assert len(paper["svgs"]) == len(made.sections) + 3 + 2
        assert all(left >= 0 and right <= 700 and seen for left, right, seen in paper["svgs"])
    made.save(tmp_path / "made.png")
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")
