"""Every operator over random attributes, shapes and dtypes: the judges, who share no code with minicc, give what the reference gives."""

import pytest

from minicc.ops.base import REGISTRY, Operator
from minicc.testing.campaign import Report, judge
from minicc.testing.operators import COUNT, JUDGED, examples
from minicc.testing.oracle import JUDGES
from minicc.testing.worker import shared_worker

SHARE = 0.7  # of the examples, at least, that must really be compared, not excused
FEW = 12  # examples of what is only made of other operators, which are judged by themselves
PARTLY = {"Mod"}  # of floats, the remainder with the sign of the divisor is one that TVM has not

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", JUDGED)
def test_a_judge_gives_what_the_reference_gives(name, judge_name):
    report, operator = Report(), REGISTRY[name]
    count = FEW if operator.composite and operator.tvm is Operator.tvm else COUNT
    report.extend(judge(examples(name, count), (judge_name,), {judge_name: shared_worker(JUDGES[judge_name].engine)}))
    if name in PARTLY:
        count -= report.findings.pop((judge_name, "unsupported"))
    assert report.fine and not report.findings, f"{report}\n" + "\n\n".join(map(str, report.shown))
    assert report.compared[judge_name] >= SHARE * count, f"{report}\n" + "\n\n".join(map(str, report.shown[:3]))


def test_shapes_and_dtypes_are_varied():
    """Empty axes, ones, odd and prime extents, scalars; every dtype that an operator takes."""
    drawn = [n.type for e in examples("Add", 200) for n in e.graph.inputs]
    assert {0, 1, 2, 3, 5, 7} <= {d for t in drawn for d in t.shape} and () in {t.shape for t in drawn}
    assert len({t.dtype for t in drawn}) == 12
