"""Imports point one way, and special libraries stay in their rooms: DESIGN made executable.

Imports under `TYPE_CHECKING` count: a type is a dependency like any other.
"""

import ast
import functools
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent / "minicc"
PATHS = sorted(ROOT.rglob("*.py"))

DIRECT = {  # package: what stands directly below it; whatever stands below that is allowed, too
    "errors": (),
    "paths": ("errors",),  # what stands at a path, for errors
    "config": ("paths",),
    "types": ("errors",),
    "target": ("config", "types"),
    "ir": ("target",),
    "tensor": ("ir",),
    "ops": ("tensor",),
    "graph": ("ops",),
    "loop": ("tensor",),
    "schedule": ("loop",),
    "te": ("schedule",),  # the face that lessons import
    "recipes": ("schedule",),
    "codegen": ("loop",),
    "kernels": ("graph", "recipes", "runtime"),
    "runtime": ("codegen",),
    "tune": ("runtime", "recipes"),
    "frontend": ("graph",),
    "package": ("runtime",),
    "device": ("runtime",),
    "bridge": ("compile", "device"),
    "compile": ("frontend", "kernels", "tune"),
    "minicc": ("compile", "package", "te"),  # minicc/__init__.py, the public API
    "testing": ("minicc", "bridge", "backend"),
    "backend": ("minicc", "bridge"),
    "dynamo": ("minicc",),  # minicc as a backend of torch.compile
    "vision": ("minicc",),  # pictures in, boxes, labels and pictures out
    "compat": ("minicc", "bridge"),
    "explain": ("testing",),
    "course": ("testing", "explain", "compat"),
    "cli": ("testing", "explain", "compat", "course", "vision"),
    "__main__": ("cli",),
}
LIBRARIES = {  # library: the files that may import it
    "llvmlite": ("codegen/", "runtime/", "target/"),
    "tvm": ("bridge/_tvm.py", "bridge/inside/"),
    "onnx": ("frontend/", "backend.py", "testing/backend_suite.py", "testing/mutate_onnx.py"),
    "torch": ("frontend/", "dynamo.py", "testing/peers.py"),
    "tflite": ("frontend/tflite/", "testing/tflite_models.py"),
    "PIL": ("vision/",),
    "starlette": ("explain/",),
    "uvicorn": ("explain/",),
    "hypothesis": ("testing/strategies.py",),
}
OPTIONAL = {
    "networkx",
    "torch",
    "tvm",
    "onnxruntime",
    "openvino",
    "sklearn",
    "matplotlib",
    "transformers",
    "PIL",
    "tflite",
    "flatbuffers",
    "starlette",
    "uvicorn",
}  # heavy: imported where used
HEAVY = ("onnx.backend.test", "importlib.metadata")  # all tests of onnx take seconds; metadata bring e-mail and sockets
MOST_LINES = 500
BUDGET = {  # lines of each room
    "__main__": 5, "backend": 212, "bridge": 5604, "cli": 2513, "codegen": 1345, "compile": 425, "config": 133,
    "course": 11137, "device": 1879, "dynamo": 285, "errors": 187, "explain": 6770, "frontend": 8405, "graph": 5070,
    "ir": 892, "kernels": 821, "loop": 4261, "minicc": 67, "ops": 9747, "package": 566, "paths": 128, "recipes": 3079,
    "runtime": 2866, "schedule": 4937, "target": 636, "te": 50, "tensor": 3568, "testing": 7099, "types": 192,
    "vision": 1205,
}  # fmt: skip
TRAIL = 8_000  # lines of the files that the README lists for a weekend
MOST_IGNORES = 9  # of `type: ignore`; goes down, not up


def below(package):
    """Every package that `package` may import."""
    found = {package}
    for name in DIRECT[package]:
        found |= below(name)
    return found


def room(path):
    """The package a file belongs to: its folder in minicc/, or its name."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else {"__init__": "minicc"}.get(path.stem, path.stem)


def imports(tree):
    """Every absolute module name that a file imports, with the node that does it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def imported_room(name):
    """The package of minicc that a module name means; None outside of minicc."""
    parts = name.split(".")
    if parts[0] != "minicc":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in DIRECT else "minicc"


def inside_functions(tree):
    """Every import inside a function."""
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(function)


@functools.cache
def parsed(path):
    """A source: its path, its text, its tree."""
    text = path.read_text(encoding="utf-8")
    return path, text, ast.parse(text)


def sources():
    return map(parsed, PATHS)


@pytest.fixture(params=PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def source(request):
    return parsed(request.param)


def test_imports_point_down(source):
    path, _, tree = source
    assert room(path) in DIRECT, f"{path.name} is in no room of the layout"
    allowed = below(room(path))
    for name, node in imports(tree):
        target = imported_room(name)
        assert target is None or target in allowed, f"{path}:{node.lineno}: {room(path)} may not import {name}"


def test_libraries_stay_in_their_rooms(source):
    path, _, tree = source
    here = path.relative_to(ROOT).as_posix()
    for name, node in imports(tree):
        places = LIBRARIES.get(name.split(".")[0])
        assert places is None or here.startswith(places), f"{path}:{node.lineno}: {name} belongs in {', '.join(places)}"


def test_what_runs_in_the_old_tvms_process_needs_nothing_that_is_not_there():
    """It has another NumPy, and neither llvmlite nor networkx."""
    known = {*sys.stdlib_module_names, "numpy", "ml_dtypes", "tvm"}
    ours = ("minicc.bridge.frames.", "minicc.bridge.inside.", "minicc.errors.")
    files = [path for path in PATHS if path.parent.name == "inside" or module(path) in ("bridge.frames", "errors")]
    wrong = [(path.name, name) for path in files for name, _ in imports(parsed(path)[2])
             if name.split(".")[0] not in known and not name.startswith(ours)]  # fmt: skip
    assert not wrong and len(files) > 4


def test_only_config_reads_the_environment(source):
    path, _, tree = source
    for node in ast.walk(tree):
        read = isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb")
        assert not read or path == ROOT / "config.py", (
            f"{path}:{node.lineno}: the environment is read in config.py only"
        )
    names = {name for name, _ in imports(tree)}
    assert path == ROOT / "config.py" or not names & {"os.environ", "os.getenv"}


def test_no_import_hides_in_a_function(source):
    path, _, tree = source
    for name, node in inside_functions(tree):
        allowed = name.split(".")[0] in OPTIONAL or name.startswith(HEAVY)
        assert allowed, f"{path}:{node.lineno}: import {name} at the top of the file"


def test_heavy_libraries_are_paid_for_by_those_who_use_them():
    heavy = {*OPTIONAL, *HEAVY, "onnx", "google", "email", "rich", "typer", "hypothesis", "pytest"}
    code = f"import minicc, sys; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_names_and_sizes(source):
    path, text, _ = source
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "misc")
    assert text.count("\n") <= MOST_LINES, f"{path} has {text.count(chr(10))} lines: it wants to be two files"


def test_the_table_is_a_ladder():
    for package in DIRECT:
        assert package not in {name for lower in DIRECT[package] for name in below(lower)}


def module(path):
    """The name of a file's module, below minicc."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_imports_go_in_a_circle():
    graph, known = nx.DiGraph(), set(map(module, PATHS))
    for path, _, tree in sources():
        for name, _ in imports(tree):
            inner = name.removeprefix("minicc.")
            graph.add_edge(module(path), inner if inner in known else inner.rpartition(".")[0])
    found = [sorted(circle) for circle in nx.strongly_connected_components(graph) if len(circle) > 1]
    assert not found


def test_a_class_name_stands_for_one_thing():
    places = defaultdict(list)
    for path, _, tree in sources():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module(path))
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_files_of_tests_have_names_of_their_own():
    """Two modules of one name cannot be collected together."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]


def test_types_are_checked_but_for_a_reason():
    ignored = [
        f"{path}:{number}: {line.strip()}"
        for path, text, _ in sources()
        for number, line in enumerate(text.splitlines(), 1)
        if "# type: ignore" in line
    ]
    without = [line for line in ignored if not re.search(r"# type: ignore\[[\w, -]+\]  ?# \w", line)]
    assert len(ignored) <= MOST_IGNORES, ignored
    assert not without


def test_the_checks_see_what_they_should():
    tree = ast.parse(
        "import a.b\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from minicc.tensor import expr\n"
        "def f():\n    from minicc import graph\n"
    )
    assert [name for name, _ in imports(tree)][:2] == ["a.b", "typing.TYPE_CHECKING"]
    assert {imported_room(name) for name, _ in imports(tree)} == {None, "tensor", "graph"}
    assert [name for name, _ in inside_functions(tree)] == ["minicc.graph"]


def lines_of(paths):
    return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)


@pytest.mark.parametrize("name", sorted(set(map(room, PATHS))))
def test_a_room_keeps_to_its_budget(name):
    """A budget goes down with a room, and up only with a feature, by what that needs."""
    assert lines_of(path for path in PATHS if room(path) == name) <= BUDGET[name]


def test_the_trail_is_read_in_a_weekend():
    readme = (ROOT.parent / "README.md").read_text(encoding="utf-8")
    trail = re.findall(r"^\d+\. \[(minicc/\S+\.py)\]\(\1\): \S", readme, re.MULTILINE)
    assert len(trail) == len(set(trail)) > 25 and trail[0] == "minicc/compile.py"
    assert lines_of(ROOT.parent / path for path in trail) <= TRAIL
