"""The page for those who teach does what it says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "tutorials/assignments/TEACHING.md"


@pytest.mark.course
def test_the_commands_of_the_page_do_what_it_says(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    (tmp_path / "mine").mkdir()
    for name, block in re.findall(r"`(mine/[\w.]+)`:[^`]*```\w+\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(block)
    commands = 'set -e\nminicc() { python -m minicc "$@"; }\n' + "".join(
        re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    )
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "total: 0 of 36 points" in done.stdout and "total: 2 of 2 points" in done.stdout
    assert "a1: 1 results" in done.stdout and "wrote mine.zip" in done.stdout and (tmp_path / "spread.svg").is_file()
    assert json.loads((tmp_path / "results" / "ada.json").read_text())["extra_data"]["student"] == "ada"


def test_the_page_leads_to_files_that_are_there():
    named = re.findall(r"`(minicc/[\w/.]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 4 and all((PAGE.parents[2] / each).exists() for each in named)
