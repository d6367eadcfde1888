"""`minicc explore`: what it writes and where, for models and scripts, and what it refuses."""

import pytest
from cli_cases import saved, waiting_network

from minicc.cli import explore

SCRIPT = "from minicc.schedule.examples import row_sums\ns = row_sums(4, 8)\ns.split('k', factor=2)\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_kernel_of_a_model(minicc, network, here):
    options = ("--no-run", "--kernel", "softmax", "--target", "llvm -mtriple=aarch64-linux-gnu")
    text = minicc.good("explore", network, "--dim", "batch=3", *options)
    assert text.startswith("small: 17 passes, 1 kernel, ") and "small.explore.html: 0." in text
    written = (here / "small.explore.html").read_text()
    assert '"us":null' in written and "<title>small: from operators to machine code</title>" in written


@pytest.mark.slow
def test_a_run_of_a_model(minicc, network, here):
    assert " 2 kernels, " in minicc.good("explore", network, "--dim", "batch=3", "-o", "run.html")
    assert '"us":null' not in (here / "run.html").read_text()


def test_a_script(minicc, here):
    (here / "sums.py").write_text(SCRIPT)
    assert minicc.good("explore", "sums.py").startswith("sums: 0 passes, 1 kernel, 1 step")
    assert "s.split" in (here / "sums.explore.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("sums.py", "--kernel", "k"), "expected no --kernel for a .py"),
        (("sums.py", "--dim", "n=3"), "expected no --dim for a .py"),
        (("sums.py", "--name", "t"), "expected the name of a schedule, got 't'"),
        (("sums.py", "-o", "page.txt"), "expected a name that ends in .html"),
        (("absent.py",), "expected a file"),
        (("absent.onnx",), "expected a file"),
        (("waiting.onnx",), "values decide them"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_it_refuses(minicc, here, arguments, problem):
    (here / "sums.py").write_text(SCRIPT)
    saved(waiting_network(), here / "waiting.onnx")
    outcome = minicc("explore", *arguments)
    assert outcome.code == 2 and problem in outcome.err and "hint: " in outcome.err
    assert not list(here.glob("*.html")) and not list(here.glob(".*"))


def test_a_page_is_whole_or_not_there(minicc, here, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    (here / "sums.py").write_text(SCRIPT)
    (here / "sums.explore.html").write_text("before")
    monkeypatch.setattr(explore, "explorer_page", stop)
    assert minicc("explore", "sums.py").code == 130
    assert (here / "sums.explore.html").read_text() == "before" and len(list(here.iterdir())) == 2
