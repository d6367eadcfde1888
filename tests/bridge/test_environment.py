"""The environment of the old TVM: found, told from half-made ones, and made; by a fake Python but for the last test."""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import run

import pytest

from minicc import config
from minicc.bridge import environment
from minicc.bridge.environment import OLD_TVM, PACKAGES, has_relay, make_relay, python_of_relay
from minicc.config import relay_dir
from minicc.errors import BridgeError

ROOT = Path(__file__).parents[2]
FAKE = """\
#!/bin/sh
# Python 3.12, as far as environment.py asks: its version, `-m venv FOLDER`, `-m pip`, and an import
case "$2 $3" in
    "-m venv") mkdir -p "$4/bin" "$4/lib/python3.12/site-packages" && cp "$0" "$4/bin/python" ;;
    "-m pip") echo "$@" >> {folder}/log; [ ! -e {folder}/fault ] || {{ seq 20; cat {folder}/fault; exit 1; }} ;;
    *) echo 3.12 ;;
esac
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for an environment that is not there, and a fake Python that makes one; `log` beside has its calls of pip."""
    executable = tmp_path / "fake-python"
    executable.write_text(FAKE.format(folder=tmp_path))
    executable.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(executable))
    monkeypatch.setenv("MINICC_RELAY", str(tmp_path / "relay"))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return tmp_path / "relay"


def nothing(step, left):
    pass


def pip_calls(place):
    return (place.parent / "log").read_text().splitlines()


def test_where_it_is_looked_for(monkeypatch, tmp_path):
    assert relay_dir({"MINICC_RELAY": "/there"}) == Path("/there")
    monkeypatch.setattr(config, "CLONE", tmp_path)
    assert relay_dir({}) == tmp_path / ".venv-relay"
    monkeypatch.setattr(config, "CLONE", None)
    assert relay_dir({"MINICC_CACHE_DIR": "/cache"}) == Path("/cache/relay")


def test_it_is_made_once(place):
    steps = []
    assert not has_relay()
    assert make_relay(lambda step, left: steps.append((left, step)))
    assert has_relay() and python_of_relay() == place / "bin" / "python"
    assert steps == sorted(steps, reverse=True) and [step for _, step in steps][2:] == ["TVM 0.16", "import tvm"]
    packages, old_tvm = pip_calls(place)
    assert all(pin in packages.split() for pin in PACKAGES) and "--no-deps" in packages and OLD_TVM not in packages
    assert old_tvm.endswith(OLD_TVM) and f"--target {place}/lib/python3.12/site-packages" in old_tvm
    assert not make_relay(nothing) and len(pip_calls(place)) == 2


def test_every_version_is_exact():
    assert all(len(pin.split("==")) == 2 for pin in (*PACKAGES, OLD_TVM))


def test_without_one_the_error_says_how_to_get_it(place, monkeypatch):
    hints = []
    for clone in (place, None):
        monkeypatch.setattr(environment, "CLONE", clone)
        with pytest.raises(
            BridgeError, match=r"expected an environment for TVM 0\.16, which has Relay, got none"
        ) as error:
            python_of_relay()
        hints.append(error.value.hint)
    assert hints == ["make relay", "minicc doctor --setup-relay"] and str(place) in error.value.where


def test_a_failure_shows_what_pip_said_last_and_leaves_nothing(place):
    fault = place.parent / "fault"
    fault.write_text("ERROR: [Errno 28] No space left on device")
    with pytest.raises(BridgeError, match="expected `-m pip install` to succeed, got exit code 1") as error:
        make_relay(nothing)
    assert error.value.where.splitlines() == [*map(str, range(14, 21)), fault.read_text()]
    assert not has_relay() and not (place / "bin").exists()
    fault.unlink()
    assert make_relay(nothing) and has_relay()


def test_an_interrupted_one_is_made_anew(place):
    def interrupt(step, left):
        if left < environment.SECONDS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_relay(interrupt)
    assert not has_relay() and not (place / "bin").exists()
    assert make_relay(nothing) and has_relay()


@pytest.mark.parametrize("stamp", ["", "numpy==1.26.4\n"], ids=["half-made", "other versions"])
def test_one_that_is_not_whole_is_no_environment(place, stamp):
    make_relay(nothing)
    (place / environment.STAMP).write_text(stamp)
    (place / "lib" / "rest").mkdir()
    with pytest.raises(BridgeError, match="got one that is half-made, or has other versions"):
        python_of_relay()
    assert make_relay(nothing) and has_relay() and not (place / "lib" / "rest").exists()


def test_one_without_its_python_is_no_environment(place):
    make_relay(nothing)
    (place / "bin" / "python").unlink()
    (place / "bin" / "python").symlink_to("/gone/python3.12")
    with pytest.raises(BridgeError, match="got one whose Python is gone"):
        python_of_relay()
    assert make_relay(nothing) and has_relay()


def test_what_others_put_there_is_left_alone(place):
    (place / "precious").mkdir(parents=True)
    with pytest.raises(BridgeError, match="expected an empty folder, got one with files that minicc did not make"):
        make_relay(nothing)
    assert [entry.name for entry in place.iterdir()] == ["precious"]


def test_a_place_that_cannot_be_written_is_named(place):
    place.write_text("a file")
    with pytest.raises(BridgeError, match=r"expected a folder for the environment, got: .*File exists"):
        make_relay(nothing)


def test_of_two_that_make_it_one_waits(place):
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(make_relay, [nothing, nothing])) == [False, True]
    assert len(pip_calls(place)) == 2


@pytest.mark.parametrize("ask", [python_of_relay, lambda: make_relay(nothing)], ids=["python", "make"])
def test_other_platforms_are_told_so(place, monkeypatch, ask):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    with pytest.raises(BridgeError, match="expected Linux on x86_64, got Linux on arm64"):
        ask()


def test_another_python_is_taken_where_this_one_is_too_new(place, monkeypatch):
    new, fit = place.parent / "fake-python", place.parent / "python3.12"
    shutil.copy(new, fit)
    new.write_text("#!/bin/sh\necho 3.14\n")
    monkeypatch.setenv("PATH", str(place.parent))
    assert environment.find_python() == "python3.12"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BridgeError, match=r"expected Python 3\.11 or 3\.12, got .*, and no other on the path"):
        environment.find_python()


@pytest.mark.slow
def test_tests_are_skipped_without_one_in_one_line_or_refused(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        "-m",
        "relay and not slow",
        __file__,
    ]
    environ = {k: v for k, v in os.environ.items() if k != "MINICC_REQUIRE_RELAY"} | {"MINICC_RELAY": str(tmp_path)}
    skipped = run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert skipped.returncode == 0 and skipped.stdout.count("no environment of the old TVM") == 1
    assert "skipped 1: no environment of the old TVM; `make relay` makes it" in skipped.stdout.splitlines()
    refused = run(command, cwd=ROOT, env=environ | {"MINICC_REQUIRE_RELAY": "1"}, capture_output=True, text=True)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert refused.stderr == "ERROR: no environment of the old TVM; `make relay` makes it\n\n"


@pytest.mark.relay
def test_the_one_that_was_made_has_relay_and_what_came_with_it():
    code = "import tvm; from tvm import auto_scheduler, autotvm, meta_schedule, relay, te; print(tvm.__version__)"
    ran = run([python_of_relay(), "-I", "-c", code], capture_output=True, text=True)
    assert ran.stdout == f"{environment.VERSION}.dev0\n", ran.stderr
