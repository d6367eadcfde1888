"""The prose of lessons: Markdown as markup, its words, and its terms.

In: Markdown. Out: the markup of a page, in which the first use of each term leads to the glossary; or its words piece by piece, for
who asks which terms it uses. Of HTML only folded parts and comments are taken as such, all else is shown as it is written.

>>> [piece for piece in spoken("A **buffer** is memory, `x[i]`.")]
[Spoken(words='A ', strong=False), Spoken(words='buffer', strong=True), Spoken(words=' is memory, ', strong=False), Spoken(words='.', strong=False)]
>>> terms = Terms(["loop", "loop nest", "axis"])
>>> [(found.group(), term) for found, term in terms.find("Loops and loop nests have axes, not loopholes.")]
[('Loops', 'loop'), ('loop nests', 'loop nest'), ('axes', 'axis')]

Source: CommonMark 0.31, with the tables of GitHub.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from minicc.explain.picture import clean

TAGS = re.compile(r"</?(?:details|summary|sub|sup|br)>|<!--.*?-->", re.S)
EAST = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])")  # lines join without a space
ENDINGS = {"is": "es", "y": "ies", "x": "xes", "s": "ses"}  # of plurals: axis, memory, matrix, bus


class Spoken(NamedTuple):
    """Words of prose, without code and headings; `strong` where they stand in bold."""

    words: str
    strong: bool


class Terms:
    """Finds terms in words, singular or plural, the longest first; those of East Asia that have several signs need no space around them."""

    def __init__(self, terms: Iterable[str]) -> None:
        self.forms = {form.lower(): term for term in sorted(terms) for form in _forms(term)}
        longest = sorted(self.forms, key=lambda form: (-len(form), form))
        parts = [rf"(?<!{_near(form)}){re.escape(form)}(?!{_near(form)})" for form in longest]
        self.pattern = re.compile("|".join(parts) or r"(?!)", re.I)

    def find(self, words: str) -> Iterator[tuple[re.Match[str], str]]:
        """Each place with the term that stands there."""
        for found in self.pattern.finditer(words):
            yield found, self.forms[found.group().lower()]


def _near(form: str) -> str:
    """What no term has beside it: a letter of its own script; in East Asia only one of a single sign, which many words have."""
    return "[A-Za-z0-9_-]" if form.isascii() else r"\w" if len(form) == 1 else r"(?!)"


def _forms(term: str) -> Iterator[str]:
    yield term
    if term.isascii():
        ending = next((e for e in ENDINGS if term.endswith(e)), "")
        yield from (f"{term}s", term.removesuffix(ending) + ENDINGS.get(ending, "s"))


def spoken(markdown: str) -> Iterator[Spoken]:
    """The words of prose in their order."""
    for token in _spoken(_parse(markdown)):
        strong = 0
        for child in token.children or []:
            strong += child.nesting if child.tag == "strong" else 0
            if child.type == "text" and child.content:
                yield Spoken(child.content, strong > 0)


def passages(markdown: str) -> Iterator[str]:
    """Each paragraph, entry of a list and block of code as plain words."""
    tokens = _parse(markdown)
    spoken = {id(token) for token in _spoken(tokens)}
    for token in tokens:
        if token.type == "fence" or id(token) in spoken:
            yield token.content if token.type == "fence" else "".join(child.content for child in token.children or [])


def _spoken(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens that hold words, without those of headings."""
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline" and not (before and before.type == "heading_open"):
            yield token


def code(text: str, language: str = "python") -> str:
    """Lines of code as coloured markup."""
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        return f"<pre>{clean(text)}</pre>"
    return f"<pre>{highlight(text, lexer, HtmlFormatter(nowrap=True)).rstrip()}</pre>"


class Prose:
    """Markdown as markup of one page. `terms` have their meanings; `link` is where a link leads, None for nowhere."""

    def __init__(self, terms: Mapping[str, tuple[str, str]], link: Callable[[str], str | None]) -> None:
        """A term stands with its meaning and where it is told. It becomes a link once a page."""
        self.terms, self.open, self.link = Terms(terms), dict(terms), link
        self.sections, self.anchors = list[tuple[str, str]](), Counter[str]()

    def html(self, markdown: str) -> str:
        """The markup. Headings of two signs are collected in `sections`: their anchors and their words."""
        tokens = _parse(markdown)
        for token in _spoken(tokens):
            token.children = list(self._linked(token.children or []))
        for start, inside in pairwise(tokens):
            if start.type == "heading_open":
                start.attrSet("id", self._anchor(inside, start.tag))
        return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))

    def _anchor(self, inside: Token, tag: str) -> str:
        words = "".join(child.content for child in inside.children or [])
        name = re.sub(r"\W+", "-", words.lower()).strip("-")
        self.anchors[name] += 1
        if self.anchors[name] > 1:
            name = f"{name}-{self.anchors[name]}"
        if tag == "h2":
            self.sections.append((name, words))
        return name

    def _linked(self, tokens: Iterable[Token]) -> Iterator[Token]:
        tag, within = "a", 0
        for token in tokens:
            if token.type in ("link_open", "link_close"):
                within += token.nesting
                to = self.link(str(token.attrGet("href"))) if within else ""
                tag = "span" if to is None else "a" if to else tag  # a link that leads nowhere here is words
                token.tag, token.attrs = tag, {"href": to} if to else {}
            if token.type == "text" and not within:
                yield from self._terms(token.content)
            else:
                yield token

    def _terms(self, words: str) -> Iterator[Token]:
        at = 0
        for found, term in self.terms.find(words):
            if term in self.open:
                meaning, place = self.open.pop(term)
                yield Token("text", "", 0, content=words[at : found.start()])
                yield Token("term", "", 0, content=found.group(), attrs={"href": place, "title": meaning})
                at = found.end()
        yield Token("text", "", 0, content=words[at:])


def _parse(markdown: str) -> list[Token]:
    """The tokens, with the lines of a paragraph as one."""
    tokens = _MARKDOWN.parse(markdown)
    for token in tokens:
        if token.type == "inline":
            token.children = list(_joined(token.children or []))
    return tokens


def _joined(tokens: Iterable[Token]) -> Iterator[Token]:
    words = ""
    for token in tokens:
        if token.type in ("text", "softbreak"):
            words += token.content or " " * (token.type == "softbreak")
            continue
        if words:
            yield Token("text", "", 0, content=EAST.sub("", words))
        words = ""
        yield token
    if words:
        yield Token("text", "", 0, content=EAST.sub("", words))


def _fence(self: Any, tokens: Sequence[Token], at: int, *_: Any) -> str:
    return code(tokens[at].content, tokens[at].info.strip())


def _html(self: Any, tokens: Sequence[Token], at: int, *_: Any) -> str:
    text = tokens[at].content
    parts = zip(TAGS.split(text), [*TAGS.findall(text), ""], strict=True)
    return "".join(clean(words) + tag * (not tag.startswith("<!--")) for words, tag in parts)


def _term(self: Any, tokens: Sequence[Token], at: int, *_: Any) -> str:
    href, meaning = (clean(tokens[at].attrGet(name)) for name in ("href", "title"))
    return f'<a class="term" href="{href}" title="{meaning}">{clean(tokens[at].content)}</a>'


_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
for _name, _rule in {"fence": _fence, "html_block": _html, "html_inline": _html, "term": _term}.items():
    _MARKDOWN.add_render_rule(_name, _rule)
