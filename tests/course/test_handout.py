"""Hand-outs: solutions go, Tasks come, and markers must pair."""

import pytest

from minicc.course.handout import hollowed
from minicc.errors import ConfigError

SOLVED = '''def half(n):
    """Half of it."""
    # solution 2.1: say "half" of n
    # handout: odd = n % 2
    return n // 2
    # end


# solution
SECRET = 1
# end
'''


def test_a_task_takes_the_place_of_a_solution():
    text = hollowed(SOLVED)
    assert 'raise Task("2.1", "say \\"half\\" of n")' in text
    assert "    odd = n % 2\n    raise" in text
    assert "SECRET" not in text and "n // 2" not in text
    compile(text, "handout", "exec")


@pytest.mark.parametrize("text", ["# solution\nx = 1", "x = 1\n# end", "# solution\n# solution\n# end\n# end"])
def test_markers_that_do_not_pair_are_refused(text):
    with pytest.raises(ConfigError, match="in pairs"):
        hollowed(text, "a.py")
