"""The course: lessons that check their exercises, assignments with hand-outs, and a grader that believes nothing.

A lesson is a file of `tutorials/`; its exercises are checked by the functions of `course.checks.lesson_NN`. An assignment is a
folder of `course/assignments/`, written with its solution (`course.assignment`), from which the hand-out is made.
"""

from minicc.errors import Task as Task

__all__ = ["Task"]
