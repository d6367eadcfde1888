"""The candidates of A7 stay with the judge: a check that guesses, counts, asks too much or looks inside earns nothing."""

import pytest
from submitted import shares, submitted

from minicc.course.assignment import assignment
from minicc.course.handout import solution

pytestmark = pytest.mark.course
CHEATS = {
    "fails all": "raise AssertionError('a fault')",
    "passes all": "return",
    "fails each second one": "SEEN.append(0)\n    assert len(SEEN) % 2",
    "looks inside": "assert 'fault' not in repr(vars(candidate) if hasattr(candidate, '__dict__') else candidate)",
    "asks for ever": "while True:\n        candidate('Relu', {}, [np.zeros(1)])",
    "asks for what is large": "candidate('Relu', {}, [np.zeros(1 << 20)])",
    "asks for another operator": "candidate('Tile', {'repeats': (1 << 30,)}, [np.zeros(1)])",
}


@pytest.mark.parametrize("how", CHEATS)
def test_no_such_check_earns_anything(how, tmp_path):
    body = f"def check(candidate):\n    {CHEATS[how]}\n"
    text = f"import numpy as np\nSEEN = []\n\n{body}\ncheck_elements = check_many = check_graphs = check\n"
    files = solution(assignment("a7")) | {"checks.py": text.encode()}
    assert set(shares("a7", submitted("a7", tmp_path, files)).values()) == {0.0}
