"""Damaged model files are refused in words or run, whatever reader they are for; and what is a fault is seen as one."""

import random

import pytest
from typer.testing import CliRunner

import minicc.testing.mutate_files as campaign_module
from minicc.errors import ConfigError, LoadError
from minicc.testing.mutate_files import READERS, Fate, FileReport, campaign, draw
from minicc.testing.mutate_onnx import CHANGES, convolutions, damaged, sites


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_damaged_files(reader):
    report = FileReport()
    for outcome in campaign(reader, 150):
        report.add(outcome)
    assert not report.faults, "\n".join(map(str, report.faults))
    assert report.tried == 150 and report.kinds["ran"] > 10 and report.kinds["refused"] > 10
    assert draw(reader, 7) == draw(reader, 7) != draw(reader, 8)


def raising(error):
    def load(path):
        raise error

    return load


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LoadError("load('x')", "expected y, got z", hint="do"), "refused"),
        (LoadError("load('x')", "expected y, got z"), "words"),
        (LoadError("load('x')", "expected well-formed fields, got KeyError: 3", hint="do"), "words"),
        (LoadError("load('x')", "expected well-formed fields, got b'', which is not UTF-8", hint="do"), "refused"),
        (MemoryError("no"), "memory"),
        (KeyError("no"), "error"),
    ],
    ids=["refused", "no hint", "an error inside", "no text", "memory", "an error of Python"],
)
def test_what_is_a_fault(monkeypatch, tmp_path, error, kind):
    monkeypatch.setattr(campaign_module, "load", raising(error))
    assert campaign_module._judged(tmp_path)[0] == kind
    assert Fate(3, kind).fine == (kind == "refused")


def test_a_file_that_does_little_work_is_run_and_one_that_does_much_is_compiled(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(convolutions().SerializeToString())
    assert campaign_module._judged(path) == ("ran", "")
    monkeypatch.setattr(campaign_module, "WORK", 1)
    assert campaign_module._judged(path) == ("compiled", "")


@pytest.mark.parametrize("change", sorted(set(CHANGES), key=lambda change: change.__name__))
def test_every_change_makes_other_files(change):
    made, source = set(), random.Random(0)
    for _ in range(30):
        model = convolutions()
        places = list(sites(model))
        change(source.choice(places), places, convolutions(), source)
        made.add(model.SerializeToString())
    assert len(made) > 5
    assert len({damaged(b"sound model", source) for _ in range(30)}) > 5


def test_readers_are_named():
    with pytest.raises(ConfigError, match="expected a reader of onnx"):
        next(campaign("caffe", 1))


def test_the_command_counts_and_says_how_to_go_on(monkeypatch):
    outcomes = [Fate(0, "refused", "LoadError"), Fate(1, "crash", "SIGSEGV")]
    monkeypatch.setattr(campaign_module, "campaign", lambda reader, count, first: iter(outcomes))
    app = __import__("typer").Typer()
    app.command()(campaign_module.main)
    result = CliRunner().invoke(app, ["--count", "3"])
    assert result.exit_code == 130 and "1: crash: SIGSEGV" in result.output
    assert "go on with --first 2 --count 1" in result.output
