"""A submission as a judge sees it: functions that are called with data, and answer with data.

In: a folder with the handed-in files. Out: `Answers`. `LocalAnswers` runs them in this process, for tests and for whoever tries what
is his own; `course.sandbox` in another one, which it gives nothing to. Both go through the same encoding (`course.wire`), and the
same `Submission`, which stands at the far side.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from minicc.course.handed_in import read_handed_in
from minicc.course.judging import Failed
from minicc.course.wire import Call, NotData, decoded, decoded_error, encoded, encoded_error


class Submission:
    """The functions of a folder's files, by name. A file is loaded when one of it is first called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules: dict[str, ModuleType] = {}

    def answer(self, request: Any, call: Call) -> dict[str, Any]:
        """What a request, `[file, function, arguments]`, comes to: `{"value": ...}` or `{"error": ...}`, as JSON."""
        try:
            file, function, arguments = request
            with self._at_hand():
                made = getattr(self._loaded(file), function)(*decoded(arguments, call))
            return {"value": encoded(made)}
        except KeyboardInterrupt:  # of whoever tries it in his own process
            raise
        except BaseException as error:  # whatever it is, it is the submission's answer
            return {"error": encoded_error(error), "at": self._place(error)}

    def module(self, file: str) -> ModuleType:
        """A handed-in file as a module."""
        with self._at_hand():
            return self._loaded(file)

    def _place(self, error: BaseException) -> str:
        """The innermost line of the handed-in files that an exception came through, as `puzzle.py:3`."""
        lines = [f"{Path(frame.f_code.co_filename).name}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)
                 if Path(frame.f_code.co_filename).parent == self.folder]  # fmt: skip
        return lines[-1] if lines else ""

    def _loaded(self, file: str) -> ModuleType:
        stem = Path(file).stem
        if stem not in self._modules:
            spec = importlib.util.spec_from_file_location(stem, self.folder / file)
            assert spec and spec.loader, file
            sys.modules[stem] = module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                sys.modules.pop(stem, None)  # half of a file is none: the next call meets the same error
                raise
            self._modules[stem] = module
        return self._modules[stem]

    @contextmanager
    def _at_hand(self) -> Iterator[None]:
        """The files can import each other, and nothing of that stays."""
        before = {name: sys.modules.get(name) for name in {path.stem for path in self.folder.glob("*.py")}}
        for name in before:
            sys.modules.pop(name, None)
        sys.modules.update(self._modules)
        sys.path.insert(0, str(self.folder))
        try:
            yield
        finally:
            if str(self.folder) in sys.path:
                sys.path.remove(str(self.folder))
            for name, held in before.items():
                if (made := sys.modules.pop(name, None)) is not None:
                    self._modules[name] = made
                if held is not None:
                    sys.modules[name] = held


def received(answer: Any) -> Any:
    """The value of an answer. Raises Failed for an error, and for what is no answer."""
    match answer:
        case {"value": value}:
            try:
                return decoded(value)
            except NotData as problem:
                refused = problem.__cause__  # what is data, and no program or graph that could be
                text = f"what it returned is not valid: {refused}" if refused else f"its answer is no data: {problem}"
                raise Failed(text) from None
        case {"error": data, "at": str(place)}:
            try:
                error, kind = decoded_error(data)
            except NotData as problem:
                raise Failed(str(problem)) from None
            parts = error.args if len(error.args) == 4 else ()
            text = str(error) if parts else f"{kind}: {error}".removesuffix(": ")
            raise Failed(f"{place[:80]}: {text}" if place else text, kind, parts)
    raise Failed("its answer is none")


def called_back(functions: list[Callable[..., Any]], number: Any, arguments: Any) -> dict[str, Any]:
    """What a function of the judge comes to when a submission calls it; what it raises is raised there."""
    try:
        if type(number) is not int or not 0 <= number < len(functions):
            raise NotData("expected a function that was given")
        return {"value": encoded(functions[number](*decoded(arguments)))}
    except Exception as error:  # the judge's functions say so what they refuse
        return {"error": encoded_error(error)}


def returned(reply: Any) -> Any:
    """What a function of the judge gave: its value, or the exception, raised again."""
    if "error" in reply:
        raise decoded_error(reply["error"])[0]
    return decoded(reply["value"])


def _carried(message: Any) -> Any:
    return json.loads(json.dumps(message))


class LocalAnswers:
    """The answers of a folder's files, run in this process. For what is trusted."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._submission = Submission(self.folder)

    def call(self, file: str, function: str, *args: Any) -> Any:
        """What a function of a file returns. Raises Failed."""
        functions: list[Callable[..., Any]] = []
        request = _carried([file, function, encoded(list(args), functions)])

        def call(number: int, given: tuple[Any, ...]) -> Any:
            return returned(_carried(called_back(functions, number, _carried(encoded(list(given))))))

        return received(_carried(self._submission.answer(request, call)))

    def text(self, file: str) -> str:
        """The text of a file. Raises Failed."""
        return read_handed_in(self.folder, file).decode()

    def close(self) -> None:
        """Forget what was loaded: the next call loads the files again."""
        self._submission = Submission(self.folder)
