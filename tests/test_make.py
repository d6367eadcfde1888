"""What `make` says where it cannot set up."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("python", "says"), [("exit 1", "minicc needs Python 3.11 or newer"), ("exit 127", "minicc needs Python 3.11")]
)
def test_an_old_python_is_named_in_one_line(tmp_path, python, says):
    """A stand-in that answers as Python 3.10 does when it is asked whether it is new enough."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python3.10"
    old.write_text(f"#!/bin/sh\n{python}\n")
    old.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # the tests may run under make
    made = subprocess.run(
        ["make", f"PYTHON={old}", "test"], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert made.returncode != 0 and made.stdout.splitlines() == [made.stdout.strip()] and says in made.stdout
    assert "PYTHON=python3.11 test" in made.stdout and not (tmp_path / ".venv").exists()
