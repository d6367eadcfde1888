"""The pages of the course in one language: a page for each lesson, an index, a glossary, and a search over all of them.

In: lessons, and what they showed when they were executed. Out: the texts of pages that lead to each other and open without a server.

>>> from minicc.course.lesson import parse
>>> one = parse("# %% [markdown]\\n# # A & B\\n# What is **a thing**?\\n# %%\\nx = 1\\n# %% [markdown]\\n# ## Words\\n# - **a thing**: any\\n", "00_ab.py")
>>> site = CoursePages([one])
>>> text = site.lesson(one, None)
>>> "<h1>A &amp; B</h1>" in text, '<a class="term" href="glossary.html#a-thing" title="any">a thing</a>' in text
(True, True)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path

from minicc.course.assignment import Assignment
from minicc.course.concepts import concepts
from minicc.course.execute import Executed, Shown
from minicc.course.lesson import Lesson, LessonCell
from minicc.course.prose import Prose, code, passages
from minicc.explain.page import LEAST, data, page
from minicc.explain.picture import STYLE, clean

HERE = Path(__file__).parent
SCRIPT, LOOK = ((HERE / name).read_text(encoding="utf-8") for name in ("lessons.js", "lessons.css"))
TEXTS = {
    "en": {
        "course": "A tensor compiler, step by step", "contents": "Contents", "lesson": "Lesson", "find": "Search  /", "glossary": "Glossary",
        "search": "Search", "notebook": "notebook", "other": "中文", "exercises": "exercises", "ran": "ran in", "not run": "not executed here; it needs",
        "term": "term", "meaning": "meaning", "introduced": "introduced in", "used": "used in", "shown": "shows",
        "about": "Each lesson starts with a question and ends with what was not told. Its code was executed to make this page; its exercises say why "
        "an answer is wrong. Read in order: no word is used before it is explained. The notebook of a lesson is linked on its page.",
        "hint": "Type words that a passage has. The arrow keys go through what is found.", "rest": "",
    },
    "zh": {
        "course": "一步一步写张量编译器", "contents": "目录", "lesson": "第", "find": "搜索  /", "glossary": "术语表",
        "search": "搜索", "notebook": "notebook", "other": "English", "exercises": "个练习", "ran": "运行用时", "not run": "此处未执行，需要",
        "term": "术语", "meaning": "含义", "introduced": "首次出现", "used": "也用于", "shown": "显示",
        "about": "每一课从一个问题开始，以“还没有讲的”结束。页面上的输出由代码实际运行得到；练习会（用英文）告诉你答案为什么不对。请按顺序阅读：每个术语都先解释、后使用。",
        "hint": "输入要找的词，用方向键选择结果。", "rest": "其余课程（英文）",
    },
}  # fmt: skip


class CoursePages:
    """The pages of some lessons, all of one language, and what leads to the hand-outs of assignments.

    `others` are the names of the pages that are there in the other language, too.
    """

    def __init__(
        self, lessons: Sequence[Lesson], others: Collection[str] = (), assignments: Sequence[Assignment] = ()
    ) -> None:
        self.lessons, self.others, self.assignments = lessons, others, assignments
        self.language = lessons[0].language if lessons else "en"
        self.text = TEXTS[self.language]

    @cached_property
    def terms(self) -> dict[str, tuple[str, str]]:
        """Each term, with its meaning and its place in the glossary."""
        return {
            t.term: (t.meaning, f"glossary.html#{_anchor(t.term)}") for lesson in self.lessons for t in lesson.terms
        }

    def lesson(self, lesson: Lesson, ran: Executed | None) -> str:
        """The page of a lesson; without outputs where it was not executed."""
        prose = Prose(self.terms, self._link)
        outputs = ran.outputs if ran else [()] * len(lesson.cells)
        shown = [self._cell(k, *cell, prose) for k, cell in enumerate(zip(lesson.cells, outputs, strict=True))]
        facts = [f"{sum(c.kind == 'markdown' and bool(c.exercise) for c in lesson.cells)} {self.text['exercises']}"]
        facts += [f"{self.text['ran']} {ran.seconds:.1f} s"] if ran else []
        facts += [f"{self.text['not run']} {', '.join(lesson.missing)}"] if lesson.missing else []
        about = f'<p class="note">{clean(" · ".join(facts))} · <a href="{lesson.name}.ipynb" download>{self.text["notebook"]}</a></p>'
        main = [about, *_exercises(lesson, shown), self._neighbours(lesson)]
        return self._page(lesson.title, main, lesson.name, prose.sections)

    def index(self) -> str:
        """The page that all others lead to."""
        rows = [
            f'<li value="{int(lesson.number)}"><a href="{lesson.name}.html">{clean(lesson.title)}</a>'
            f"<p>{clean(next(passages(lesson.question), ''))}</p></li>"
            for lesson in self.lessons
        ]
        rest = f'<p><a href="../index.html" hreflang="en">{self.text["rest"]}</a></p>' if self.text["rest"] else ""
        parts = [f"<p>{self.text['about']}</p>", f'<ol class="lessons">{"".join(rows)}</ol>', rest, self._assigned()]
        return self._page(self.text["course"], parts, "index")

    def _assigned(self) -> str:
        if not self.assignments:
            return ""
        head = "".join(f"<th>{word}</th>" for word in ("assignment", "hours", "points", "to begin"))
        rows = [
            f'<tr><th><a href="{a.name}.html">{a.name.upper()}: {clean(a.title)}</a></th><td data-head="hours">{a.hours:g}</td>'
            f'<td data-head="points">{a.points:g}</td><td><code>minicc course start {a.name}</code></td></tr>'
            for a in self.assignments
        ]
        return f"<h2>Assignments</h2>\n<table class='terms'><tr>{head}</tr>\n{chr(10).join(rows)}</table>"

    def glossary(self) -> str:
        """The table of concepts: what each term means, which lesson introduces it, and which use it."""
        head = "".join(f"<th>{self.text[word]}</th>" for word in ("term", "meaning", "introduced", "used"))
        rows = [
            f'<tr id="{_anchor(c.term.term)}"><th>{clean(c.term.term)}{f" <small>{clean(c.term.english)}</small>" if c.term.english else ""}</th>'
            f'<td>{_with_code(c.term.meaning)}</td><td data-head="{self.text["introduced"]}">{self._number(c.introduced)}</td>'
            f'<td data-head="{self.text["used"]}">{" ".join(map(self._number, c.used))}</td></tr>'
            for c in sorted(concepts(self.lessons), key=lambda c: c.term.term.lower())
        ]
        return self._page(
            self.text["glossary"], [f'<table class="terms"><tr>{head}</tr>\n{chr(10).join(rows)}</table>'], "glossary"
        )

    def search(self) -> str:
        """A page that finds passages of all others, by an index that it holds."""
        pages = [[f"{lesson.name}.html", f"{lesson.number} {lesson.title}"] for lesson in self.lessons]
        told = {"pages": [*pages, ["glossary.html", self.text["glossary"]]], "passages": list(self._passages())}
        parts = [f'<p class="note">{self.text["hint"]}</p>', '<ol id="found"></ol>', data("passages", told)]
        return self._page(self.text["search"], parts, "search")

    def _passages(self) -> Iterator[tuple[int, str, str, str]]:
        """What can be found: the number of the page, the anchor, the section, the words."""
        for at, lesson in enumerate(self.lessons):
            section = ""
            for number, cell in enumerate(lesson.cells):
                if number in lesson.glossary:
                    continue
                if found := re.match(r"#+ (.+)", cell.source) if cell.kind == "markdown" and number else None:
                    section = re.sub(r"[`*]", "", found[1])
                for words in passages(cell.source) if cell.kind == "markdown" else [cell.source]:
                    yield at, f"c{number}", section, words
        for term, (meaning, _) in self.terms.items():
            yield len(self.lessons), _anchor(term), term, f"{term}: {meaning}"

    def _page(self, title: str, parts: Sequence[str], here: str, sections: Sequence[tuple[str, str]] = ()) -> str:
        other = ""
        if here in self.others:
            where, language = ("zh/", "zh") if self.language == "en" else ("../", "en")
            other = f'<a href="{where}{here}.html" hreflang="{language}" lang="{language}">{self.text["other"]}</a>'
        field = (
            f'<input id="find" type="search" placeholder="{self.text["find"]}" aria-label="{self.text["search"]}" '
            f'data-to="search.html" autocomplete="off" spellcheck="false">'
        )
        top = f'<header><a href="index.html">{self.text["course"]}</a>{field}<a href="glossary.html">{self.text["glossary"]}</a>{other}</header>\n'
        entries = "".join(self._entry(lesson, lesson.name == here, sections) for lesson in self.lessons)
        menu = f'<nav class="side"><details class="menu"><summary>{self.text["contents"]}</summary><ol>{entries}</ol></details></nav>'
        main = "\n".join(["<main>", *parts, "</main>"])
        return page(title, menu, main, top=top, script=SCRIPT, style=LOOK, language=self.language)

    def _entry(self, lesson: Lesson, here: bool, sections: Sequence[tuple[str, str]]) -> str:
        inner = "".join(f'<li><a href="#{name}">{clean(words)}</a></li>' for name, words in sections)
        current, below = (' aria-current="page"', f"<ul>{inner}</ul>") if here else ("", "")
        return f'<li value="{int(lesson.number)}"><a href="{lesson.name}.html"{current}>{clean(lesson.title)}</a>{below}</li>'

    def _number(self, lesson: Lesson) -> str:
        return f'<a href="{lesson.name}.html" title="{clean(lesson.title)}">{int(lesson.number)}</a>'

    def _neighbours(self, lesson: Lesson) -> str:
        at = self.lessons.index(lesson)
        before, after = self.lessons[:at][-1:], self.lessons[at + 1 :][:1]
        links = [f'<a rel="prev" href="{b.name}.html">← {clean(b.title)}</a>' for b in before]
        links += [f'<a rel="next" href="{a.name}.html">{clean(a.title)} →</a>' for a in after]
        return f'<nav class="neighbours">{"".join(links)}</nav>'

    def _link(self, to: str) -> str | None:
        """Where a link of a lesson leads on its page: pages have the lessons beside them, and none of the other files."""
        names = {f"{lesson.name}.py": f"{lesson.name}.html" for lesson in self.lessons}
        return to if to.startswith(("https://", "#")) else names.get(to)

    def _cell(self, number: int, cell: LessonCell, outputs: Sequence[Shown], prose: Prose) -> str:
        if cell.kind == "markdown":
            kind = "prose" if number else "prose question"
            body = prose.html(cell.source if number else cell.source.partition("\n")[2])
        else:
            kind, body = "cell", "\n".join([code(cell.source), *map(_output, outputs)])
        return f'<div class="{kind}" id="c{number}">\n{body}</div>'


def alone(lesson: Lesson, ran: Executed) -> str:
    """A page that leads nowhere and says nothing of the run: that of a hand-out, which has the same bytes each time."""
    site, prose = CoursePages([lesson]), Prose({}, lambda to: to if to.startswith(("https://", "#")) else None)
    cells = zip(lesson.cells, ran.outputs, strict=True)
    main = ["<main>", *[site._cell(number, *cell, prose) for number, cell in enumerate(cells)], "</main>"]
    entries = "".join(f'<li><a href="#{name}">{clean(words)}</a></li>' for name, words in prose.sections)
    menu = f'<nav class="side"><details class="menu"><summary>{site.text["contents"]}</summary><ol>{entries}</ol></details></nav>'
    return page(lesson.title, menu, "\n".join(main), style=LOOK)


def _exercises(lesson: Lesson, parts: Sequence[str]) -> Iterator[str]:
    """The cells of a page, those of an exercise together in a box."""
    within, numbers = "", list[str]()
    for cell in lesson.cells:
        within = cell.exercise or within
        numbers.append(within)
        if cell.kind == "code" and cell.exercise:
            within = ""
    for number, some in groupby(zip(numbers, parts, strict=True), key=lambda pair: pair[0]):
        inside = "\n".join(part for _, part in some)
        yield f'<section class="exercise">\n{inside}\n</section>' if number else inside


def _output(output: Shown) -> str:
    """What a cell showed; the page has the style of pictures already."""
    text = output.text.replace(STYLE, "")
    if output.kind == "svg":
        width = re.search(r'<svg[^>]* width="([\d.]+)"', text)
        least = f' style="--least: {LEAST * float(width[1]):.0f}px"' if width else ""
        return f"<figure{least}>{text}</figure>"
    if output.kind == "html":
        return f'<div class="shown">{text}</div>'
    return f'<pre class="out" tabindex="0">{clean(text.rstrip())}</pre>'


def _with_code(meaning: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", clean(meaning))


def _anchor(term: str) -> str:
    return re.sub(r"\W+", "-", term.lower())
