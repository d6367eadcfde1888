"""Submissions that run in this process, without a sandbox, and what the judges give them. For tests of judges."""

import importlib
from random import Random

from minicc.course.answers import LocalAnswers
from minicc.course.assignment import assignment
from minicc.course.handout import handout, solution


def judgments(name, folder, student="ada", only=()):
    """What the judges of an assignment, or of some of its tasks, say of the files of a folder, by task."""
    judge, answers = importlib.import_module(f"minicc.course.assignments.{name}.judge"), LocalAnswers(folder)
    tasks = [task for task in assignment(name).tasks if not only or task.name in only]
    return {task.name: list(getattr(judge, task.mark)(answers, Random(f"{student} {task.name}"))) for task in tasks}


def shares(name, folder, student="ada", only=()):
    """The share of its points that each task earns."""
    found = judgments(name, folder, student, only)
    return {
        task: sum(j.share * j.weight for j in of_task) / sum(j.weight for j in of_task)
        for task, of_task in found.items()
    }


def submitted(name, folder, files=None, changes=()):
    """Write a submission: the solution, or other files; `changes` are a file, what stands in it, and what takes its place."""
    files = dict(files or solution(assignment(name)))
    for file, old, new in changes:
        text = files[file].decode()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        files[file] = text.replace(old, new).encode()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def handed_out(name, folder):
    """A submission of the hand-out as it is."""
    return submitted(name, folder, handout(assignment(name)))
