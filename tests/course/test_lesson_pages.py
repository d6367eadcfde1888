"""The pages of the course lead to each other, say what was shown, and let nothing that a lesson prints act."""

import json
import posixpath
import re

import pytest

from minicc.course.assignment import assignments
from minicc.course.execute import Executed, Shown
from minicc.course.lesson import FOLDER, lessons, parse, translated
from minicc.course.notebook import notebook
from minicc.course.prose import Prose
from minicc.course.publish import main
from minicc.course.pages import CoursePages
from minicc.errors import ConfigError
from tests.explain.chromium import opened

ONE = """
# %% [markdown]
# # One <&> first
#
# What is a **loop**? See [two](02_two.py), [a file](pictures.md), and loops again.

# %%
print("<script>alert(1)</script>")

# %% [markdown]
# ## Nests & such

# %% [markdown]
# ### Exercise 1
#
# <details><summary>Hint</summary> A `loop`. <script>alert(2)</script></details>

# %%
class check:
    ex1 = print


answer = ...
check.ex1(answer)

# %% [markdown]
# ## Words
# - **loop**: what "repeats"
""".lstrip()
TWO = "# %% [markdown]\n# # Two\n#\n# <!-- needs: no_such_package -->\n#\n# And a loop?\n"


def site():
    return CoursePages([parse(ONE, "01_one.py"), parse(TWO, "02_two.py")])


def test_a_page_has_what_a_lesson_showed():
    one, two = site().lessons
    shown = [
        [],
        [Shown("printed", "<script>alert(1)</script>\n"), Shown("svg", '<svg width="400.0" height="9"></svg>')],
        [],
        [],
        [],
        [],
    ]
    text = site().lesson(one, Executed(shown, 1.25, []))
    assert "<h1>One &lt;&amp;&gt; first</h1>" in text and "ran in 1.2 s" in text and 'href="01_one.ipynb"' in text
    assert '<pre class="out" tabindex="0">&lt;script&gt;alert(1)&lt;/script&gt;</pre>' in text
    assert '<figure style="--least: 320px">' in text and text.count("<script>") == 1  # that of all pages
    assert text.count('<a class="term" href="glossary.html#loop" title="what &quot;repeats&quot;">loop</a>') == 1
    assert '<a href="02_two.html">two</a>' in text and "<span>a file</span>" in text
    assert '<a rel="next" href="02_two.html">Two →</a>' in text and 'rel="prev"' not in text
    assert '<section class="exercise">' in text and "<p>A <code>loop</code>. &lt;script&gt;" in text
    assert '<li><a href="#nests-such">Nests &amp; such</a></li>' in text and 'id="nests-such"' in text
    assert "not executed here; it needs no_such_package" in site().lesson(two, None)


def test_the_glossary_is_the_table_of_concepts():
    text = site().glossary()
    assert '<tr id="loop"><th>loop</th><td>what &quot;repeats&quot;</td>' in text
    assert re.findall(r'title="(.*?)">(\d)</a></td>', text) == [("One &lt;&amp;&gt; first", "1"), ("Two", "2")]


def test_code_in_a_meaning_is_code():
    text = CoursePages([parse(ONE.replace('what "repeats"', "such as `<b>`"), "01_one.py")]).glossary()
    assert "<td>such as <code>&lt;b&gt;</code></td>" in text


def test_the_search_has_every_passage():
    text = re.search(r'<script type="application/json" id="passages">(.*?)</script>', site().search())[1]
    told = json.loads(text)
    assert told["pages"] == [
        ["01_one.html", "01 One <&> first"],
        ["02_two.html", "02 Two"],
        ["glossary.html", "Glossary"],
    ]
    assert [0, "c1", "", 'print("<script>alert(1)</script>")'] in told["passages"]
    assert [2, "loop", "loop", 'loop: what "repeats"'] in told["passages"] and [1, "c0", "", "And a loop?"] in told[
        "passages"
    ]


def test_a_term_is_linked_once_and_not_in_links_code_or_headings():
    terms = {"axis": "a position", "循环": "重复", "图": "a graph", "te": "formulas"}
    prose = Prose({term: (meaning, f"g.html#{term}") for term, meaning in terms.items()}, lambda to: to)
    assert prose.html("# axis\n\n`axis` [axis](x) Axes axis") == (
        '<h1 id="axis">axis</h1>\n<p><code>axis</code> <a href="x">axis</a> <a class="term" href="g.html#axis" title="a position">Axes</a> axis</p>\n'
    )
    assert prose.html("两个循环\n循环") == '<p>两个<a class="term" href="g.html#循环" title="重复">循环</a>循环</p>\n'
    assert (
        prose.html("图像（**图**）")
        == '<p>图像（<strong><a class="term" href="g.html#图" title="a graph">图</a></strong>）</p>\n'
    )
    assert 'title="formulas">te</a>是' in prose.html("te是")


def test_notebooks_are_as_their_format_says():
    """Source: nbformat 4.5: the members that each cell must have, and no others."""
    for lesson in lessons():
        told = json.loads(notebook(lesson))
        assert (told["nbformat"], told["nbformat_minor"]) == (4, 5) and len(told["cells"]) == len(lesson.cells) + 1
        names = [cell["id"] for cell in told["cells"]]
        assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", name) for name in names)
        for cell, given in zip(told["cells"][1:], lesson.cells, strict=True):
            more = {"outputs", "execution_count"} if given.kind == "code" else set()
            assert cell.keys() == {"cell_type", "id", "metadata", "source"} | more and cell["cell_type"] == given.kind
            assert given.kind == "markdown" or "".join(cell["source"]) == given.source
        needs = f'"minicc[{",".join(lesson.needs)}]"' if lesson.needs else "minicc"
        assert told["cells"][0]["source"] == [f"%pip install -q {needs}"]


def published(folder, out, *more):
    (folder / "zh").mkdir(parents=True, exist_ok=True)
    (folder / "01_one.py").write_text(ONE)
    (folder / "02_two.py").write_text(TWO)
    (folder / "zh" / "01_one.md").write_text(
        "# 一\n\n什么是**循环**？\n%%\n## 嵌套\n%%\n### 练习 1\n%%\n## 词汇\n- **循环**（loop）：重复\n"
    )
    return main([str(out), "--lessons", str(folder), *more])


@pytest.mark.course
def test_a_course_is_published_the_same_twice(tmp_path, capsys):
    texts = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert published(tmp_path / "lessons", out) == 0
        files = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.*")}
        texts.append({name: re.sub(r"ran in [\d.]+ s|运行用时 [\d.]+ s", "", text) for name, text in files.items()})
    assert texts[0] == texts[1]
    names = {"01_one.html", "01_one.ipynb", "02_two.html", "02_two.ipynb", "index.html", "glossary.html", "search.html"}
    assert set(texts[0]) == names | {f"zh/{name}" for name in names if "two" not in name}
    assert (
        '<a href="zh/01_one.html" hreflang="zh"' in texts[0]["01_one.html"] and "zh/02" not in texts[0]["02_two.html"]
    )
    chinese = texts[0]["zh/01_one.html"]
    assert '<html lang="zh">' in chinese and '<a href="../01_one.html" hreflang="en"' in chinese
    assert "alert(1)" in chinese and "02_two: not executed, it needs no_such_package" in capsys.readouterr().out


def test_a_folder_without_lessons_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected a folder of lessons, got none"):
        main([str(tmp_path / "out"), "--lessons", str(tmp_path)])


@pytest.mark.course
def test_a_lesson_that_fails_fails_the_build_and_no_other_page(tmp_path, capsys):
    folder, out = tmp_path / "lessons", tmp_path / "out"
    folder.mkdir()
    (folder / "03_three.py").write_text("# %% [markdown]\n# # T\n# %%\n1 / 0\n")
    assert published(folder, out) == 1
    assert "03_three.py:4: 1 / 0" in capsys.readouterr().out
    assert (out / "01_one.html").is_file() and not (out / "03_three.html").exists()
    assert published(folder, out, "--only", "01") == 0


@pytest.mark.browser
def test_a_reader_finds_his_way(browser, tmp_path):
    """From the index, by the search and its arrow keys, to a lesson, and by a term to the glossary; on a phone, too."""
    assert published(tmp_path / "lessons", tmp_path) == 0
    address = f"file://{tmp_path}/"
    for width, colours in ((1280, "light"), (400, "dark")):
        with opened(browser, f"{address}index.html", width, colours=colours, within=address) as page:
            page.keyboard.press("/")
            page.keyboard.type("what is a")
            page.keyboard.press("Enter")
            page.wait_for_url("**/search.html#*")
            assert page.locator("#found mark").first.inner_text() == "What"
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Enter")
            page.wait_for_url("**/01_one.html#c0")
            assert page.locator("#c0").is_visible() and page.locator("text=alert(1)").first.is_visible()
            assert page.locator(".menu ol").is_visible() == (width == 1280)
            assert not page.locator("text=A loop. ").is_visible()
            page.click("text=Hint")
            assert page.locator("text=alert(2)").is_visible()
            page.click("a.term")
            page.wait_for_url("**/glossary.html#loop")
            assert page.locator("#loop").inner_text().split()[:3] == ["loop", "what", '"repeats"']
            page.click("td a >> nth=0")
            page.click("header a[hreflang=zh]")
            page.wait_for_url("**/zh/01_one.html")
            assert page.locator("h1").inner_text() == "一"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.course
def test_links_of_the_course_lead_to_what_is_there():
    """The pages without outputs, which the tests of lessons make."""
    found = lessons(FOLDER)
    twins = [twin for lesson in found if (twin := translated(lesson))]
    others = {twin.name for twin in twins} | {"index", "glossary", "search"}
    given = list(assignments().values())
    pages = {f"{each.name}.html": (FOLDER / "assignments" / each.name / "page.html").read_text() for each in given}
    for folder, some in (("", CoursePages(found, others, given)), ("zh/", CoursePages(twins, others))):
        pages |= {f"{folder}{name}.html": getattr(some, name)() for name in ("index", "glossary", "search")}
        pages |= {f"{folder}{lesson.name}.html": some.lesson(lesson, None) for lesson in some.lessons}
    names = {page: re.findall(r' id="([^"]*)"', text) for page, text in pages.items()}
    for page, text in pages.items():
        assert len(names[page]) == len(set(names[page])), page
        for to in re.findall(r'<a [^>]*href="(?!https:)([^"]*)"', text):
            path, _, anchor = to.partition("#")
            place = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
            assert place.endswith(".ipynb") or (place in pages and (not anchor or anchor in names[place])), (
                f"{page}: {to}"
            )
