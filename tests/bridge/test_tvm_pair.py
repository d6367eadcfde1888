"""TVM is there in the one pair of versions that works, or one error says what to install."""

import subprocess
import sys

import pytest

from minicc.bridge import _tvm
from minicc.errors import BridgeError

BROKEN = """
import sys
from minicc.bridge import _tvm
sys.modules["tvm"] = None  # as when its files are damaged
try:
    _tvm.load()
except Exception as error:
    print(error)
"""


def test_the_pair_that_is_installed_is_the_pair_that_works():
    _tvm.check(_tvm.installed())
    assert _tvm.load().relax


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"apache-tvm": None, "apache-tvm-ffi": None}, "got no apache-tvm and no apache-tvm-ffi"),
        ({"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.15.post2"}, "apache-tvm-ffi 0.1.15.post2"),
        ({"apache-tvm": "0.26.0", "apache-tvm-ffi": "0.1.14.post1"}, "apache-tvm 0.26.0"),
    ],
)
def test_another_pair_is_refused_with_what_to_install(found, said):
    with pytest.raises(BridgeError) as caught:
        _tvm.check(found)
    assert said in caught.value.problem
    assert "0.27.0.post1" in caught.value.problem
    assert caught.value.where
    assert caught.value.hint == 'pip install "apache-tvm==0.27.0.post1" "apache-tvm-ffi==0.1.14.post1"'


def test_an_absent_package_has_no_version(monkeypatch):
    def missing(name):
        raise _tvm.PackageNotFoundError(name)

    monkeypatch.setattr(_tvm, "version", missing)
    assert set(_tvm.installed().values()) == {None}


def test_a_damaged_installation_is_one_clear_error():
    done = subprocess.run([sys.executable, "-P", "-c", BROKEN], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BridgeError: import tvm: expected a working installation, got ")
    assert "hint: pip install" in done.stdout


def test_minicc_does_not_import_tvm_by_itself():
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import sys, minicc, minicc.cli; print('tvm' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
