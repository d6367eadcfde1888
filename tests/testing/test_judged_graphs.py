"""Random graphs of up to ten operators mean the same to NumPy, to loop programs, to machine code and to the judges."""

import pytest

from minicc.testing.campaign import Report, judge
from minicc.testing.graphs import OURS, examples
from minicc.testing.operators import JUDGED
from minicc.testing.oracle import JUDGES
from minicc.testing.worker import MINICC, Worker, shared_worker

BATCH = 60


@pytest.fixture(scope="module")
def llvm():
    with Worker(MINICC) as worker:
        yield worker


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("first", range(0, 300, BATCH))
def test_random_graphs_agree(llvm, judge_name, first):
    ours = OURS if judge_name == "relax" else ()  # which do not depend on the judge, and are asked once
    report, stages = Report(), (*ours, judge_name)
    workers = {"llvm": llvm, judge_name: shared_worker(JUDGES[judge_name].engine)}
    report.extend(judge(examples(BATCH, first, [n for n in JUDGED if n != "Mod"]), stages, workers))
    assert report.fine and not report.findings, f"{report}\n" + "\n\n".join(map(str, report.shown))
    assert min(report.compared[stage] for stage in stages) >= 0.9 * BATCH, str(report)
