"""The pages of `tutorials/jobs`, each run once: what their examples print, and the names that they leave."""

import functools
import tempfile
from pathlib import Path

import pytest

from pages import ROOT, missing, run_all

FOLDER = ROOT / "tutorials" / "jobs"


@functools.cache
def ran(stem):
    """Each example of a page with what it printed, the names that the page leaves, and the folder it ran in."""
    text = (FOLDER / f"{stem}.md").read_text(encoding="utf-8")
    if absent := missing(text):
        pytest.skip(f"needs {', '.join(absent)}")
    folder, names = tempfile.TemporaryDirectory(), {}
    return run_all(text, Path(folder.name), names), names, folder


def names_of(stem):
    """What a page defines, so that its test runs what its readers see."""
    return ran(stem)[1]
