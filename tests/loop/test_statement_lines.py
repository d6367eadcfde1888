"""Lines of a program's text: each statement is where the text has it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from minicc.loop.lines import measured, places
from minicc.loop.place_init import place_init
from minicc.loop.printer import PythonPrinter
from minicc.testing.schedules import start
from minicc.testing.strategies import schedules
from minicc.testing.workloads import WORKLOADS


def indent(line):
    return len(line) - len(line.lstrip())


def check(program):
    """By what Python says: the loop around a line is the last `for` above it that all lines since stand deeper than."""
    lines = str(program).splitlines()
    head, begin, _ = measured(program)
    assert lines[head - 1].startswith(f"def {program.name}(") and begin > head + 1
    covered = list(range(1, begin))
    for place in places(program):
        there = lines[place.line - 1 :][: place.lines]
        assert [row.strip() for row in there] == [
            row.strip() for row in PythonPrinter().stmt(place.stmt)[: place.lines]
        ]
        covered += range(place.line, place.line + place.lines)
        least, loop = indent(there[0]), 0
        for n in range(place.line - 1, begin - 1, -1):
            if not loop and indent(lines[n - 1]) < least:
                least = indent(lines[n - 1])
                loop = n * lines[n - 1].strip().startswith("for ")
        assert place.loop == loop
    passed = [n for n, line in enumerate(lines, 1) if line.strip() == "pass"]
    assert sorted([*covered, *passed]) == list(range(1, len(lines) + 1))


@given(st.sampled_from(sorted(WORKLOADS)), st.data(), st.booleans())
@settings(max_examples=10)
def test_statements_are_where_the_text_has_them(workload, data, late):
    program = start(workload, (5, 4)).program
    program = data.draw(schedules(program, max_steps=3)).replay(program).program
    check(place_init(program) if late else program)
