"""The autograder of an assignment as a zip for Gradescope: it installs what is pinned, and runs `minicc grade`.

In: an assignment, a secret. Out: a zip with `setup.sh`, which Gradescope runs once as it builds its image, `run_autograder`, which it
runs for each submission, this very minicc, and the secret. The same input gives the same bytes. The
scripts find everything by their own place: source/, submission/ and results/ lie beside run_autograder.
Source: gradescope-autograders.readthedocs.io, Autograder Specifications, Submission Metadata.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from minicc.course.assignment import FOLDER, Assignment
from minicc.course.hollow import PACKAGE
from minicc.runtime.files import write_file

SETUP = """\
#!/usr/bin/env bash
# Installs what the autograder of {name} needs. Python 3.11 or newer; where there is none it comes from Ubuntu.
set -euo pipefail
HERE="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
SOURCE="$HERE"; [ -d "$HERE/source" ] && SOURCE="$HERE/source"
PYTHON=""
for name in python3.11 python3 python3.12 python3.13; do
  if [ -z "$PYTHON" ] && "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then PYTHON="$name"; fi
done
if [ -z "$PYTHON" ]; then
  apt-get update && apt-get install -y --no-install-recommends python3.11 python3.11-venv libgomp1
  PYTHON=python3.11
fi
"$PYTHON" -m venv "$SOURCE/.venv"
"$SOURCE/.venv/bin/python" -m pip install -q -r "$SOURCE/requirements.txt"
chmod -R go-rwx "$SOURCE/secret.txt"
"""
RUN = """\
#!/usr/bin/env bash
# Grades submission/ and writes results/results.json; where a submission cannot be isolated, it writes none.
set -euo pipefail
ROOT="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
cd "$ROOT/source"
STUDENT="$(.venv/bin/python -c '
import json, sys
print("+".join(sorted(str(user["id"]) for user in json.load(open(sys.argv[1]))["users"])))' "$ROOT/submission_metadata.json")"
exec .venv/bin/python -B -m minicc grade "$ROOT/submission" --assignment {assignment} --student "$STUDENT" \\
  --seed-file secret.txt --json "$ROOT/results/results.json"
"""


def write_bundle(assignment: Assignment, out: Path, secret: bytes) -> int:
    """Write the zip, and return its size in bytes. Raises ConfigError where it cannot be written."""
    own = assignment.folder.parent == FOLDER
    words = {"name": assignment.name, "assignment": assignment.name if own else f"assignment/{assignment.name}"}
    files = {
        "setup.sh": SETUP.format(**words).encode(),
        "run_autograder": RUN.format(**words).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in pinned("minicc")).encode(),
        "secret.txt": secret + b"\n",
        **{f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes() for path in _files(PACKAGE)},
    }
    if not own:
        files |= {f"assignment/{assignment.name}/{path.relative_to(assignment.folder).as_posix()}": path.read_bytes()
                  for path in _files(assignment.folder)}  # fmt: skip
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name)  # of 1980, as every entry
            entry.external_attr = (0o755 if name in ("setup.sh", "run_autograder") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    write_file(out, held.getvalue())
    return len(held.getvalue())


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


def pinned(name: str) -> list[str]:
    """What a distribution needs, and what that needs, in the versions that are installed here, as `name==version`."""
    from importlib import metadata

    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        try:
            needs = metadata.requires(each) or []
            found[each] = metadata.version(each)
        except metadata.PackageNotFoundError:  # of another system, or of an older Python
            continue
        plain = [re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in needs if "extra ==" not in need]
        waiting += {re.sub(r"[-_.]+", "-", need).lower() for need in plain} - found.keys()
    return sorted(f"{each}=={version}" for each, version in found.items() if each != name)
