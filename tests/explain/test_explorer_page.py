"""The explorer's page in Chromium: what a click lights up, steps, keys, the address, names that are markup, its widths."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from minicc.explain.explored import explore_model, explore_schedule
from minicc.explain.explorer import explorer_data, explorer_page
from minicc.frontend import load
from minicc.schedule.examples import product
from minicc.target import Target
from tests.explain.chromium import chromium, opened

pytestmark = pytest.mark.browser
DIGITS = Path(__file__).parent.parent.parent / "minicc" / "cli" / "digits" / "digits.onnx"
README = DIGITS.parents[3] / "tutorials" / "explorer.png"
HASWELL = Target.of("haswell")
LINES = "#loops .line:not(.cut) .words"  # of a program, without what its step took away
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<svg onload=alert(3)>",
    "\x1b[31m&amp;\u202e",
    "__proto__",
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return explored_digits(tmp_path_factory.mktemp("pages") / "digits.html")


def explored_digits(path):
    """The address of a page, and what it shows."""
    found = explore_model(load(DIGITS), HASWELL, dims={"batch": 1})
    path.write_text(explorer_page(found))
    return path.as_uri(), found


def lit(page, panel):
    """The numbers of the lines of a panel that are lit."""
    return list(map(int, page.locator(f"#{panel} [aria-selected=true] .number").all_text_contents()))


def test_a_box_of_the_picture_is_its_operator(browser, digits):
    with opened(browser, digits[0]) as page:
        page.locator("details > summary", has_text="The kernels of").click()
        page.locator("[data-node] [data-node]", has_text="MaxPool").first.click()
        assert "pool6" in page.get_by_role("status").text_content() and lit(page, "listing1")
        assert page.locator("[data-node].lit", has_text="MaxPool").count() >= 1


def draw_for_readme(browser, address, path):
    """The picture of the README: `python -m tests.explain.test_explorer_page` writes it anew."""
    with opened(browser, address, 1280, 830) as page:
        page.get_by_role("searchbox").fill("relu5")
        page.keyboard.press("Enter")
        page.screenshot(path=path)


def test_the_picture_of_the_readme_is_what_a_reader_sees(browser, digits, tmp_path):
    """But for times."""
    from PIL import Image, ImageFilter

    draw_for_readme(browser, digits[0], tmp_path / "explorer.png")
    images = [
        Image.open(path).convert("L").filter(ImageFilter.GaussianBlur(6))
        for path in (tmp_path / "explorer.png", README)
    ]
    ours, theirs = (np.asarray(image, np.float64) for image in images)
    assert ours.shape == theirs.shape and np.abs(ours - theirs).mean() < 4  # of 255; of another pick it is some 10


def click(page, panel, number):
    """Click the line of a number."""
    page.locator(f"#{panel} .line:has(.number:text-is('{number}'))").click()


def test_an_operator_lights_its_assembly_and_back(browser, digits):
    address, found = digits
    operators = explorer_data(found)["operators"]
    with opened(browser, address) as page:
        page.get_by_role("searchbox").fill("pool6")
        page.keyboard.press("Enter")
        name = next(name for name in operators if "pool6" in name)
        assert page.get_by_role("status").text_content().startswith(name)
        assert page.locator("#loops-title").text_content() == "Loops of max_pool"
        asm, operator = lit(page, "listing1"), lit(page, "after")
        assert asm and operator and lit(page, "loops") and lit(page, "listing0")
        click(page, "listing1", asm[len(asm) // 2])
        assert page.get_by_role("status").text_content().startswith(name)
        assert (
            lit(page, "after") == operator and set(lit(page, "listing1")) <= set(asm) and len(lit(page, "loops")) == 1
        )
        box = page.locator("#after .lines").bounding_box()
        line = page.locator("#after [aria-selected=true]").first.bounding_box()
        assert box["y"] <= line["y"] <= box["y"] + box["height"]  # it was brought into view
        page.keyboard.press("Escape")
        assert not lit(page, "after") and not lit(page, "listing1")


def test_every_operator_reaches_assembly_and_comes_back(browser, digits):
    """But one that moves nothing, and takes no code."""
    address, found = digits
    operators, without = explorer_data(found)["operators"], []
    with opened(browser, address) as page:
        for k, name in enumerate(operators):
            page.evaluate(f"location.hash = '#op={k}'")
            page.wait_for_function("name => document.querySelector('.status').textContent.startsWith(name)", arg=name)
            asm, operator = lit(page, "listing1"), lit(page, "after")
            assert operator
            if not asm:
                without.append(name)
                continue
            page.evaluate("document.querySelector('#listing1 [aria-selected=true]').click()")
            assert asm[0] in lit(page, "listing1") and set(lit(page, "after")) & set(operator)
    assert [name.split()[1] for name in without] == ["Flatten"]


def test_steps_are_the_programs_of_python(browser, digits):
    address, found = digits
    kernel = next(k for k in found.kernels if k.name == "softmax")
    texts = [list(kernel.te), *(str(made.program).splitlines() for made in kernel.programs)]
    with opened(browser, f"{address}#kernel=softmax&step=0") as page:
        order = [*range(len(texts)), *reversed(range(len(texts) - 1))]
        page.get_by_role("slider").focus()
        for before, step in itertools.pairwise([0, *order]):
            if step != before:
                page.keyboard.press("ArrowRight" if step > before else "ArrowLeft")
            shown = page.evaluate(f"[...document.querySelectorAll('{LINES}')].map(line => line.textContent)")
            assert [line.rstrip() for line in shown] == [line.rstrip() for line in texts[step]]
        page.locator("#steps [role=option]").nth(3).click()
        assert str(kernel.schedule.trace.steps[1]) in page.locator("#loops .step").text_content()


def test_the_address_holds_what_is_picked(browser, digits):
    address, _ = digits
    with opened(browser, address) as page:
        page.locator("#kernels [role=option]", has_text="softmax").click()
        click(page, "loops", 5)
        picked, shared = lit(page, "listing1"), page.url
        click(page, "loops", 4)
        page.go_back()
        assert page.url == shared and lit(page, "listing1") == picked
    with opened(browser, shared) as page:
        assert lit(page, "listing1") == picked and page.locator("#loops-title").text_content() == "Loops of softmax"
    for odd in ("#kernel=%00&step=-1&at=step.9.9", "#op=1e9.x&pass=999999&at=listing.7.1&tab=<b>", "#at=step.0.99999"):
        with opened(browser, address + odd) as page:
            assert page.locator("#loops-title").text_content().startswith("Loops of ")


def test_keys_reach_everything(browser, digits):
    with opened(browser, digits[0]) as page:
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.type") == "search"
        page.locator("#after .lines").focus()
        for _ in range(4):
            page.keyboard.press("ArrowDown")
        active = page.locator("#after .lines").get_attribute("aria-activedescendant")
        assert active == "after-3" and "active" in page.locator(f"#{active}").get_attribute("class")
        page.keyboard.press("Enter")
        assert 4 in lit(page, "after")
        seen = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            seen.add(page.evaluate("document.activeElement.closest('.panel')?.id"))
        assert seen >= {"passes", "before", "after", "kernels", "steps", "loops", "listing0", "listing1", "calls"}


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits(browser, digits, width, colours):
    with opened(browser, digits[0] + "#op=0", width, colours=colours) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shown = page.locator(".panel:visible").count()
        assert (shown == 1) if width == 400 else (shown >= 9)
        if width == 400:
            page.locator("nav button", has_text="asm").click()
            assert page.locator("#listing1").is_visible() and page.locator(".panel:visible").count() == 1
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_without_a_run_keeps_no_room_for_one(browser, tmp_path):
    (tmp_path / "page.html").write_text(explorer_page(explore_schedule("product", product(8, 8), HASWELL)))
    with opened(browser, (tmp_path / "page.html").as_uri(), 1280, 900) as page:
        assert page.evaluate("document.documentElement.scrollHeight") == 900


def test_names_that_are_markup_run_nothing(browser, tmp_path):
    names = [f"{name}{k}" for k, name in enumerate(HOSTILE)]
    shape = [1, 4]
    nodes = [helper.make_node("Exp", [a], [b], name=b) for a, b in itertools.pairwise(names)]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "</title><script>alert(4)</script>", *ends)
    graph = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    path = tmp_path / "hostile.html"
    path.write_bytes(explorer_page(explore_model(graph, HASWELL)).encode("utf-8", "replace"))
    with opened(browser, path.as_uri() + "#op=0.1.2&tab=<img src=x onerror=alert(5)>") as page:
        assert page.locator("#explorer img, #explorer script, #explorer svg").count() == 0
        page.get_by_role("searchbox").fill("<")
        page.keyboard.press("Enter")
        page.locator("#before .line", has_text="Exp").first.click()
        assert "alert" in page.get_by_role("status").text_content()


if __name__ == "__main__":
    with chromium() as one, tempfile.TemporaryDirectory() as folder:
        draw_for_readme(one, explored_digits(Path(folder) / "digits.html")[0], README)
