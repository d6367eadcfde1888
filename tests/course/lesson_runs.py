"""A lesson as its checks see it: what its cells leave behind."""

import contextlib
import functools
import io
import runpy
from pathlib import Path

TUTORIALS = Path(__file__).parent.parent.parent / "tutorials"


@functools.cache
def lesson(stem):
    """The names of a lesson, after a run of it."""
    with contextlib.redirect_stdout(io.StringIO()):
        return runpy.run_path(str(TUTORIALS / f"{stem}.py"))


def wrong(reply, why):
    """A check refuses an answer for this reason."""
    assert reply.right is False and why in reply.why, reply
