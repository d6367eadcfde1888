"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE: dev (default), ci (derandomized), nightly; tests marked `relay`.

Those need the environment of the old TVM. Without it they are skipped, which one line of the summary says; where
MINICC_REQUIRE_RELAY is set, as in .ci/run, no test runs then.
"""

import logging
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

from minicc.bridge.environment import has_relay

logging.getLogger(
    "torch.__trace"
).propagate = False  # every step of a trace goes there, and pytest would keep it as text
sys.dont_write_bytecode = False  # many tests start processes, which would all compile every module of the package
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["MINICC_CACHE"] = "off"  # a kernel is compiled where a test says so; those of the cache turn it on
os.environ.setdefault("MINICC_JOBS", "1")

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=QUIET)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, suppress_health_check=QUIET)
settings.register_profile("nightly", max_examples=5000, deadline=None, suppress_health_check=QUIET)
# of ten seconds and more: one that starts last keeps a core waiting
LONG = {"test_architectures.py", "test_attention.py", "test_campaign.py", "test_cli.py", "test_fingerprint.py",
        "test_odd_models.py", "test_registry.py", "test_tir.py", "test_vectors.py", "test_worker.py"}  # fmt: skip
# files that need what takes seconds to load: one process does so for all of a group
TOGETHER = {
    **dict.fromkeys(("test_backend.py", "test_backend_suite.py", "test_cli.py", "test_mutate_files.py", "test_onnx_quantized.py",
                     "test_onnx_suites.py", "test_ops_tvm.py", "test_reverse_sequence_is_known.py"), "the tests of onnx"),
    **dict.fromkeys(("test_cli_compare.py", "test_compare.py", "test_cuda.py", "test_cuda_function.py", "test_differences.py",
                     "test_fingerprint.py", "test_from_relax.py", "test_groups.py", "test_planted_faults.py",
                     "test_relax_elementwise.py", "test_relax_movement.py", "test_te_campaign.py", "test_tir.py",
                     "test_to_relax.py", "test_tvm_pair.py", "test_verdicts.py", "test_worker.py"), "TVM"),
}  # fmt: skip
NO_RELAY = "no environment of the old TVM; `make relay` makes it"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure():
    if "MINICC_REQUIRE_RELAY" in os.environ and not has_relay():
        raise pytest.UsageError(NO_RELAY)


def pytest_collection_modifyitems(items):
    """Long files go first. Tests are called alike in every process, or they could not be shared between two."""
    items.sort(key=lambda item: item.path.name not in LONG | TOGETHER.keys())
    if addresses := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"expected names without addresses, got {addresses[0]}; give the parameters ids")
    for item in items:
        if item.get_closest_marker("relay") and not has_relay():
            item.add_marker(pytest.mark.skip(NO_RELAY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile`: by file, but a group stays together."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return TOGETHER.get(file.rpartition("/")[2], file)

    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_terminal_summary(terminalreporter):
    """One line for all tests that were skipped for want of the old TVM."""
    skipped = [report for report in terminalreporter.getreports("skipped") if NO_RELAY in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"skipped {len(skipped)}: {NO_RELAY}")


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left():
    """The processes that run compilers for the tests end with them."""
    yield
    if worker := sys.modules.get("minicc.testing.worker"):
        for engine in (worker.RELAX, worker.FAST_RELAX, worker.RELAY, worker.FAST_RELAY, worker.MINICC):
            worker.shared_worker(engine).close()
