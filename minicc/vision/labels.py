"""Names of classes: a line each, as `coco.names` has them, or by number, as lists of ImageNet often have them.

In: a file. Out: the name of each class. Lines may begin with the number (`281: tabby cat,` or `281 tabby cat`), if
all do so, in order; a JSON list, or an object of names by number, is taken as well.

    read_labels("coco.names")      # ["person", "bicycle", ...]
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from minicc.errors import LoadError
from minicc.paths import unreadable

LARGEST = 1 << 24  # bytes
_NUMBERED = re.compile(r"(\d{1,9})\s*[:,\s]\s*(\S.*)")


def read_labels(source: str | Path) -> list[str]:
    """The names in a file, by class. Raises LoadError."""
    path = Path(source)
    call = f"read_labels({str(path)!r})"
    if refused := unreadable(path, ".names"):
        raise LoadError(call, f"expected a file of names, got {refused[0]}", str(path), refused[1])
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST).decode("utf-8-sig")
        names = _of_json(json.loads(text)) if text.lstrip()[:1] in ("[", "{") else _of_lines(text)
    except (OSError, ValueError, RecursionError) as error:
        problem = f"expected names of classes, got a file that does not read as text: {error}"
        raise LoadError(call, problem, str(path), "a line of UTF-8 for each class, in order") from None
    if not names:
        raise LoadError(call, "expected names of classes, got none", str(path), "a line for each class, in order")
    return names


def name_of(labels: list[str], number: int) -> str:
    """The name of a class, or its number where the labels have none."""
    return labels[number] if 0 <= number < len(labels) else f"class {number}"


def _of_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if all(m and int(m[1]) == k for k, m in enumerate(numbered)):
        return [m[2].rstrip(",").strip("'\"") for m in numbered if m]
    return lines


def _of_json(found: Any) -> list[str]:
    """The names of a list, or of an object from numbers; of pairs (`["n01440764", "tench"]`) the last."""
    if isinstance(found, dict):
        if sorted(found) != sorted(map(str, range(len(found)))):
            raise ValueError("expected the keys 0, 1, 2, ... of an object")
        found = [found[str(k)] for k in range(len(found))]
    return [str(name[-1] if isinstance(name, list) and name else name) for name in found]
