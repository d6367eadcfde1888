"""A lesson as a notebook, whose first cell installs what it needs.

In: a lesson. Out: JSON without outputs, the same bytes for the same lesson.

>>> from minicc.course.lesson import parse
>>> told = json.loads(notebook(parse("# %% [markdown]\\n# # T\\n# %%\\nx = 1\\ny = 2\\n", "00_t.py")))
>>> [(cell["id"], cell["cell_type"], cell["source"]) for cell in told["cells"]]
[('install', 'code', ['%pip install -q minicc']), ('c0', 'markdown', ['# T']), ('c1', 'code', ['x = 1\\n', 'y = 2'])]

Source: nbformat 4.5, the JSON schema of notebooks.
"""

from __future__ import annotations

import json
import re
from typing import Any

from minicc.course.lesson import Lesson, LessonCell

LINK = re.compile(r"\]\((\d\d_\w+)\.py\)")


def notebook(lesson: Lesson) -> str:
    """The text of an .ipynb."""
    needs = f'"minicc[{",".join(lesson.needs)}]"' if lesson.needs else "minicc"
    install = _cell("install", LessonCell("code", f"%pip install -q {needs}", 0))
    told = {
        "cells": [install, *(_cell(f"c{k}", cell) for k, cell in enumerate(lesson.cells))],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def _cell(name: str, cell: LessonCell) -> dict[str, Any]:
    source = LINK.sub(r"](\1.ipynb)", cell.source) if cell.kind == "markdown" else cell.source
    more: dict[str, Any] = {"execution_count": None, "outputs": []} if cell.kind == "code" else {}
    return {"cell_type": cell.kind, "id": name, "metadata": {}, **more, "source": source.splitlines(keepends=True)}
