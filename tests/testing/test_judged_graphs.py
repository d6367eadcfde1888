"""Random graphs of up to ten operators mean the same to NumPy, to loop programs, to machine code and to TVM."""

import pytest

from minicc.testing.campaign import Report, judge
from minicc.testing.graphs import STAGES, examples
from minicc.testing.worker import MINICC, Worker, shared_worker

BATCH = 60


@pytest.fixture(scope="module")
def workers():
    with Worker(MINICC) as llvm:
        yield {"llvm": llvm, "relax": shared_worker()}


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("first", range(0, 300, BATCH))
def test_random_graphs_agree(workers, first):
    report = Report()
    report.extend(judge(examples(BATCH, first), STAGES, workers))
    assert report.fine and not report.findings, f"{report}\n" + "\n\n".join(map(str, report.shown))
    assert min(report.compared[stage] for stage in STAGES) >= 0.9 * BATCH, str(report)
