"""Live sessions: what clicks and typed steps make is what Python makes, every listed move is legal, and all can be undone."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc import te
from minicc.errors import MiniccError, ScheduleError
from minicc.explain import live
from minicc.explain.live import LiveKernel, Session, Stale
from minicc.schedule.typed import parsed
from minicc.explain.workbench import SECONDS, Cancelled, Workbench, here
from minicc.loop.caches import Cache
from minicc.loop.counts import count
from minicc.loop.verify import verify
from minicc.schedule import Schedule, Trace
from minicc.schedule.examples import doubled, product, schedule
from minicc.target import Target
from minicc.testing.schedules import start
from minicc.testing.workloads import EXTENTS, WORKLOADS

HERE = Workbench(here)
SAMPLE = 5  # moves of a list that are tried beside the one that is clicked


def session(s=None, bench=HERE, **more):
    return Session(LiveKernel("example", (s or product(64, 64)).start, **more), bench)


def clicks(one, rng, number):
    """Random clicks on a session: after each the program is that of its steps in Python, and the listed moves are legal."""
    for _ in range(number):
        listed, steps = one.moves()["moves"], one.state()["steps"]
        for index in rng.sample(range(len(listed)), min(SAMPLE, len(listed))):
            assert one.preview(one.version, index)
        if listed and rng.random() < 0.7:
            index = rng.randrange(len(listed))
            if rng.random() < 0.5:
                one.move(one.version, index)
            else:
                one.type(listed[index]["text"])
        else:
            one.go(rng.randint(0, len(steps)))
        verify(one.program)
        state = one.state()
        again = Schedule(one.kernel.naive)
        for text in state["steps"][: state["position"]]:
            exec(text, {"s": again})
        assert again.program is one.program
        if len(state["steps"]) > 8:
            one.go(rng.randint(0, 4))


def clicked(name, seed, number):
    rng = random.Random(f"{name} {seed}")
    extents = rng.choice(EXTENTS), rng.choice(EXTENTS)
    source = f"from minicc.testing.schedules import start\ns = start({name!r}, {extents})"
    one = session(start(name, extents), source=source)
    clicks(one, rng, number)
    made = {}
    exec(one.source(), made)
    assert made["s"].program is one.program
    assert Trace.from_json(one.state()["json"]).replay(one.kernel.naive).program is one.program
    last = one.program
    position = one.state()["position"]
    one.go(0)
    assert one.program is one.kernel.naive
    one.go(position)
    assert one.program is last


@pytest.mark.parametrize("name", ["elementwise", "gemm"])
def test_random_clicks_make_what_python_makes(name, capsys):
    clicked(name, 0, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_two_thousand_random_clicks_are_legal(name, capsys):
    for seed in range(1, 8):
        clicked(name, seed, 24)


def test_moves_are_those_of_the_schedule_with_what_they_are_about():
    one = session()
    listed = one.moves()["moves"]
    assert [move["text"] for move in listed] == list(map(str, product(64, 64).moves()))
    assert {tuple(m["about"]) for m in listed if m["primitive"] == "split"} == {("i",), ("k",)}
    assert [m["about"] for m in listed if m["text"] == 's.cache_read("A", "local")'] == [["A"]]


def test_a_preview_marks_what_a_move_takes_and_brings():
    one = session(doubled(64))
    index = [move["text"] for move in one.moves()["moves"]].index('s.parallel("i")')
    lines = one.preview(0, index)
    assert lines[0] == " def example(A, B):"
    assert lines[2:] == ["-    for i in range(64):", "+    for i in parallel(64):", "         B[i] = A[i]*2.0"]
    assert one.state()["position"] == 0


def test_a_new_step_forgets_what_was_undone():
    one = session(doubled(64))
    one.type('s.split("i", factor=8)')
    one.type('s.unroll("i_i")')
    one.go(1)
    assert one.state()["steps"] == ['s.split("i", factor=8)', 's.unroll("i_i")']
    one.type('s.vectorize("i_i")')
    assert one.state()["steps"] == ['s.split("i", factor=8)', 's.vectorize("i_i")']


def test_a_subject_may_begin_with_steps_and_they_can_be_undone():
    trace = Trace(tuple(product(64, 64).moves()[:1]))
    one = session(trace=trace)
    assert one.state()["position"] == 1 and one.state()["steps"] == [str(trace)]
    one.go(0)
    assert one.program is one.kernel.naive


def test_a_request_about_an_older_program_is_stale():
    one = session(doubled(64))
    one.moves()
    one.type('s.parallel("i")')
    for late in (
        lambda: one.move(0, 0),
        lambda: one.preview(0, 0),
        lambda: one.measure(0, 0, {}),
        lambda: one.move(1, 0),
    ):
        with pytest.raises(Stale):
            late()
    one.moves()
    with pytest.raises(ScheduleError, match="expected the number of a move"):
        one.move(1, 10_000)
    with pytest.raises(ScheduleError, match="expected a number from 0 to 1, got 2"):
        one.go(2)


# ---- typed steps


def test_a_typed_step_may_name_a_choice_and_give_names_to_what_it_makes():
    one = session(doubled(64))
    one.type("rows = choose('rows', [2, 4, 8], 4)")
    one.type("outer, inner = s.split('i', factor=rows)")
    s = doubled(64)
    s.split("i", factor=s.choose("rows", (2, 4, 8), 4))
    assert one.program is s.program and one.state()["steps"] == str(s.trace).splitlines()


REFUSED = {
    's.split("i", factor=0)': ("expected a positive number, got 0", "    for i in range(64):\n        ^ here"),
    's.split("q", factor=8)': ("no loop is called 'q'", "hint: the loops are i"),
    's.split("i", factor=2.5)': ("expected factor to be int | None, got 2.5", "        ^ here"),
    's.split("i", parts=2)': ("got an unexpected keyword argument 'parts'", "split(loop"),
    's.splt("i")': ("expected a primitive, got 'splt'; did you mean split?", "    ^ here"),
    's.undo()': ("expected a primitive, got 'undo'", "    ^ here"),
    's.split(i, 8)': ('named as texts: "i"', '    s.split(i, 8)\n            ^ here'),
    's.split("ä", i)': ("named as texts", '                 ^ here'),
    's.split("i", factor=2**3)': ("expected a literal", "^ here"),
    's.split("i", **{"factor": 8})': ("expected a literal, got **", "^ here"),
    's.split("i", *[8])': ("expected a literal", "^ here"),
    's.split("i", factor=s.program)': ("expected a literal", "^ here"),
    's.split("i", factor=f"{1}")': ("expected a literal", "^ here"),
    's.split("i", (lambda: 8)())': ("expected a literal", "^ here"),
    's.split("i", factor=' + "9" * 40 + ")": ("expected a number from", ""),
    's.split("i", factor=' + "9" * 900 + ")": ("expected a number from", ""),
    's.split("i"': ("expected Python: '(' was never closed", '    s.split("i"\n           ^ here'),
    '__import__("os").system("true")': ("expected a primitive of s", "^ here"),
    's.program.__class__("i")': ("expected a primitive of s", "^ here"),
    's.__class__("i")': ("expected a primitive, got '__class__'", "^ here"),
    'x = 1': ("expected one call of a primitive, got something else", ""),
    's.unroll("i"); s.unroll("i")': ("expected one call", ""),
    "": ("expected one call of a primitive, got nothing", ""),
    "\0": ("expected Python", ""),
    "[" * 500: ("expected Python", ""),
    "-" * 900 + "1": ("expected", ""),
    "s.unroll('" + "i" * 2000 + "')": ("expected at most 1000 characters, got 2012", ""),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_a_refused_step_says_why_in_four_parts_and_changes_nothing(text):
    one, (problem, where) = session(doubled(64)), REFUSED[text]
    with pytest.raises(MiniccError) as refused:
        one.type(text)
    assert problem in str(refused.value) and where in str(refused.value) and "\nhint: " in str(refused.value)
    assert one.version == 0 and one.program is one.kernel.naive


WORDS = st.text("s.unroll(i)'\"=,[]*-1 \n\0\xe9")


@given(WORDS | st.builds("s.split({!r}, {!r})".format, WORDS, st.integers() | WORDS))
def test_whatever_is_typed_is_a_step_or_a_refusal(text):
    try:
        name, *_ = parsed(text, {})
    except ScheduleError as refused:
        assert refused.hint
    else:
        assert name in live.STEPS


def test_a_program_that_grows_for_ever_is_refused(monkeypatch):
    one = session(doubled(64))
    monkeypatch.setattr(live, "MOST_STATEMENTS", 5)
    one.type('s.split("i", factor=7)')
    with pytest.raises(ScheduleError, match="expected at most 5 statements"):
        one.type('s.partition_loop("i_o")')
    assert one.state()["steps"] == ['s.split("i", factor=7)']


# ---- costs


def test_counts_are_those_of_the_program_after_a_move():
    one = session(product(16, 16))
    listed = one.moves()["moves"]
    index = next(k for k, move in enumerate(listed) if move["text"] == 's.cache_write("C")')
    s = product(16, 16)
    now = count(s.program, caches=[Cache(512)]).as_json()
    s.cache_write("C")
    after = count(s.program, caches=[Cache(512)]).as_json()
    found = one.count(0, [None, index], {}, [[512]])["counts"]
    assert found == [
        {**{k: each[k] for k in ("loads", "stores", "flops", "misses")}, "why": ""} for each in (now, after)
    ]
    assert found[0]["loads"] > found[1]["loads"]
    (refused,) = one.count(0, [None], {}, [[100, 64, 8]])["counts"]
    assert refused["refused"].startswith("LoopError: Cache(...): ")


def test_of_a_program_that_is_too_large_for_caches_the_rest_is_counted():
    n = 4096
    (large,) = session(product(n, n)).count(0, [None], {}, [[512]])["counts"]
    assert (large["loads"], large["stores"], large["flops"], large["misses"]) == (3 * n**2, n**2 + n, 2 * n**2, ())
    assert large["why"].startswith("expected at most 2,097,152 accesses")


def test_a_program_with_symbolic_sizes_is_measured_at_those_given():
    one = session(start("elementwise", (4, 5)), target=Target.native())
    assert one.state()["sizes"] == ["n"]
    assert one.measure(0, None, {})["refused"].startswith("RunError: measure: expected a number for each size")
    found = one.measure(0, None, {"n": 3})
    assert 0 < found["least"] <= found["seconds"] <= found["most"] < 1
    assert one.measure(0, None, {"n": 1 << 40})["refused"].startswith("TooLargeError")


# ---- a process of its own


def endless():
    """A program of little data that runs for minutes."""
    n = 1 << 13
    A, k, r = te.placeholder((n,), name="A"), te.reduce_axis((0, n), "k"), te.reduce_axis((0, n), "r")
    return schedule(A, te.compute((n,), lambda i: te.sum(A[i] * A[k] * A[r], axis=[k, r]), name="B"))


@pytest.fixture
def bench():
    made = Workbench()
    yield made
    made.close()


@pytest.mark.slow
def test_a_child_answers_as_this_process_does_and_a_program_that_hangs_is_ended(bench, monkeypatch):
    program = product(64, 64).program
    assert bench.ask("moves", program) == HERE.ask("moves", program)
    assert bench.ask("measure", program, Target.native())["seconds"] > 0
    monkeypatch.setitem(SECONDS, "measure", 0.5)
    assert "no answer within 0.5 seconds" in bench.ask("measure", endless().program, Target.native())["refused"]
    assert bench.ask("moves", program)
    with pytest.raises(Cancelled):
        bench.ask("moves", program, wanted=lambda: False)
    bench.close()
    with pytest.raises(Cancelled):
        bench.ask("moves", program)


@pytest.mark.slow
def test_a_measurement_ends_when_its_program_changes_and_those_of_others_do_not(bench):
    one, other = session(endless(), bench), session(product(64, 64), bench)
    for change, end in ((lambda: other.type('s.parallel("i")'), None), (lambda: one.type('s.parallel("i")'), Stale)):
        asked = ThreadPoolExecutor(1).submit(one.measure, 0, None, {})
        time.sleep(1)
        change()
        if end is None:
            with pytest.raises(TimeoutError):
                asked.result(0.5)
            bench.cancel(one)
        with pytest.raises(Stale):
            asked.result(5)
    assert other.measure(1, None, {})["seconds"] > 0
