"""The live server: this machine only, by the address that was printed; pages do not disturb each other; it stops with the last one."""

import asyncio
import contextlib
import http.client
import json
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minicc.errors import ConfigError
from minicc.explain import serve as served
from minicc.explain.live import Subject
from minicc.explain.serve import Pages, Refused, guarded, serve
from minicc.explain.workbench import Workbench, here
from minicc.schedule import Schedule
from minicc.schedule.examples import product

TOKEN, HOSTS = "secret", ["127.0.0.1:80", "localhost:80"]
ROOT = Path(served.__file__).parent
GOOD = {"host": HOSTS[0], "origin": f"http://{HOSTS[0]}", "content-type": "application/json"}
SOURCE = "from minicc.schedule.examples import product\ns = product(64, 64)"
GRACE = 1.0
SERVER = f"""
from pathlib import Path
from minicc.explain.live import Subject
from minicc.explain.page import page
from minicc.explain import serve
from minicc.schedule.examples import doubled
{SOURCE}
subjects = [Subject("product", s.start, source={SOURCE!r}), Subject("<img src=x onerror=alert(1)>", doubled(64).start)]
script = Path({str(ROOT / "live.js")!r}).read_text()
script += 'for (const b of document.querySelectorAll("button")) b.addEventListener("click", () => live(b, Number(b.id)));'
style = Path({str(ROOT / "live.css")!r}).read_text()
text = page("Live", *[f'<button id="{{k}}">moves</button>' for k in range(2)], script=script, style=style, connect=True)
serve.GRACE = {GRACE}
serve.serve(text, subjects, told=lambda address: print(address, flush=True))
"""


def asked(path=f"/{TOKEN}/state", method="POST", **headers):
    """The status of an answer to a request, and whether the application saw it."""
    seen, sent = [], []

    async def app(scope, receive, send):
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        sent.append(message)

    listed = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items() if v is not None]
    scope = {"type": "http", "path": path, "method": method, "headers": listed}
    asyncio.run(guarded(app, TOKEN, HOSTS)(scope, None, send))
    return sent[0]["status"], bool(seen), dict(sent[0]["headers"])


# ---- without a server


def test_a_request_of_the_page_itself_is_answered_and_never_kept_or_framed():
    status, seen, headers = asked(**GOOD)
    assert (status, seen) == (200, True)
    assert headers[b"cache-control"] == b"no-store" and headers[b"content-security-policy"] == b"frame-ancestors 'none'"
    assert not [name for name in headers if name.startswith(b"access-control")]
    assert asked(f"/{TOKEN}/", "GET", host=HOSTS[1], sec_fetch_site="none")[:2] == (200, True)


FOREIGN = {
    "another host": (421, GOOD | {"host": "evil.example:80"}),
    "another port": (421, GOOD | {"host": "127.0.0.1:81"}),
    "no host": (421, GOOD | {"host": None}),
    "another origin": (403, GOOD | {"origin": "http://evil.example"}),
    "the other name of this host": (403, GOOD | {"origin": f"http://{HOSTS[1]}"}),
    "no origin": (403, GOOD | {"origin": None}),
    "an opaque origin": (403, GOOD | {"origin": "null"}),
    "another site": (403, GOOD | {"sec-fetch-site": "cross-site"}),
    "another port of this host": (403, GOOD | {"sec-fetch-site": "same-site"}),
    "a form": (415, GOOD | {"content-type": "text/plain"}),
    "no kind": (415, GOOD | {"content-type": None}),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_request_is_refused_unseen(name):
    status, headers = FOREIGN[name]
    assert asked(**headers)[:2] == (status, False)


@pytest.mark.parametrize(
    "path", ["/", "", "/state", "/secre/state", "/secrets/", "//secret/", "/../secret/", "/é/", "/\udcff"]
)
def test_an_address_without_the_token_is_not_found(path):
    assert asked(path, **GOOD)[:2] == (404, False)


def pages():
    return Pages([Subject("product", product(64, 64).start)] * 2, Workbench(here))


WRONG = [
    (400, "state", []),
    (400, "state", {}),
    (400, "state", {"page": "", "subject": "0"}),
    (400, "state", {"page": "", "subject": True}),
    (400, "state", {"page": "", "subject": -1}),
    (400, "state", {"page": "", "subject": 0, "more": 1}),
    (400, "move", {"page": "", "subject": 0, "version": 0, "index": 0.0}),
    (400, "move", {"page": "", "subject": 0, "version": 0, "index": 1 << 40}),
    (400, "type", {"page": "", "subject": 0, "text": ["s.unroll('i')"]}),
    (400, "count", {"page": "", "subject": 0, "version": 0, "indices": [0] * 9, "sizes": {}, "caches": []}),
    (400, "count", {"page": "", "subject": 0, "version": 0, "indices": [0], "sizes": {}, "caches": [[None]]}),
    (400, "measure", {"page": "", "subject": 0, "version": 0, "index": None, "sizes": {"n": "1"}}),
    (404, "__class__", {"page": "", "subject": 0}),
    (404, "state", {"page": "", "subject": 0}),
    (404, "state", {"page": "another", "subject": 0}),
]


@pytest.mark.parametrize("case", WRONG, ids=range(len(WRONG)))
def test_what_is_not_as_the_actions_have_it_is_refused(case):
    status, action, body = case
    known = pages()
    name = known.enter("")
    with pytest.raises(Refused) as refused:
        known.answer(action, {**body, "page": body["page"] or (name if status == 400 else "")} if body else body)
    assert refused.value.status == status


def test_each_page_has_its_own_sessions_and_both_are_limited(monkeypatch):
    known = pages()
    one, other = known.enter(""), known.enter("")
    ask = lambda page, action, subject=0, **more: known.answer(action, {"page": page, "subject": subject, **more})  # noqa: E731
    assert ask(one, "type", text='s.unroll("i")')["steps"] == ['s.unroll("i")']
    assert ask(other, "state")["steps"] == ask(one, "state", 1)["steps"] == []
    assert ask(one, "move", version=0, index=0) == {"stale": True}
    assert ask(one, "type", text="s.unroll()")["refused"].startswith("ScheduleError: unroll(...)")
    with pytest.raises(Refused):
        ask(one, "state", 2)
    assert known.enter(one) == one
    known.leave(one)
    assert not known.close(one) and ask(one, "state")["steps"], "one of its two streams is there"
    for _ in range(served.MOST_PAGES - 2):
        known.enter("")
    with pytest.raises(Refused, match="429"):
        known.enter("")
    monkeypatch.setattr(served, "MOST_SESSIONS", 1)
    with pytest.raises(Refused, match="429"):
        ask(other, "state", 1)
    known.leave(one)
    assert not known.close(one)
    with pytest.raises(Refused, match="404"):
        ask(one, "state")


def test_the_last_page_that_is_closed_is_told():
    known = pages()
    one, other = known.enter(""), known.enter("")
    known.leave(one)
    assert not known.close(one)
    known.leave(other)
    assert known.close(other)


def test_without_the_extra_serve_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=re.escape('hint: pip install "minicc[explore]"')):
        serve("", [])


def test_a_port_that_is_taken_is_told():
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="expected a port that is free"):
            serve("", [], taken.getsockname()[1])
    with pytest.raises(ConfigError, match="expected a port that is free"):
        serve("", [], 1 << 20)


# ---- with one


class Server:
    """A server in a process of its own, and requests to it."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert select.select([self.process.stdout], [], [], 60)[0]
        self.address = self.process.stdout.readline().strip()
        self.host, self.token = re.fullmatch(r"http://(127\.0\.0\.1:\d+)/([\w-]{32})/", self.address).groups()

    def request(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        sent = {"origin": f"http://{self.host}", "content-type": "application/json"} if method == "POST" else {}
        connection.request(method, path, body, sent | headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())

    def ask(self, action, **fields):
        status, text, _ = self.request("POST", f"/{self.token}/{action}", json.dumps({"subject": 0, **fields}))
        assert status == 200, text
        return json.loads(text)

    @contextlib.contextmanager
    def page(self):
        """The name of a page that is open for a while."""
        with socket.create_connection(self.host.split(":"), timeout=30) as stream:
            stream.sendall(f"GET /{self.token}/events HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
            text = ""
            while not (found := re.search(r"data: ([\w-]+)", text)):
                text += stream.recv(4096).decode()
            yield found[1]

    def ends(self, within=20):
        """The exit status and what was printed."""
        out, error = self.process.communicate(timeout=within)
        return self.process.returncode, out, error


@pytest.fixture
def server():
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    made = Server()
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


@pytest.mark.browser
def test_a_server_answers_its_routes_and_nothing_else_and_stops_when_its_pages_are_closed(server):
    here = f"/{server.token}"
    assert server.request("GET", f"{here}/")[:2][0] == 200
    for path in (f"{here}/../../etc/passwd", f"{here}/%2e%2e/%2e%2e/etc/passwd", f"{here}/live.js", f"{here}//etc/passwd", "/", "/etc/passwd",
                 "//127.0.0.1/", f"{here}/events/..", "/%00"):  # fmt: skip
        assert server.request("GET", path)[0] in (404, 405), path
    assert server.request("GET", f"{here}/state")[0] == 405
    assert server.request("OPTIONS", f"{here}/state", origin="http://evil.example")[0] == 405
    assert server.request("GET", f"{here}/", host="evil.example")[0] == 421
    assert server.request("POST", f"{here}/state", "{}", origin="http://evil.example")[0] == 403
    assert server.request("POST", f"{here}/state", "x" * (served.MOST_BODY + 1))[0] == 413
    for body in ("", "{", "[" * 60000, "\x00", '{"page": NaN}', "[]"):
        assert server.request("POST", f"{here}/state", body)[0] == 400, body[:10]
    with server.page() as one, server.page() as other:
        assert one != other
        assert server.ask("type", page=one, text='s.unroll("i")')["position"] == 1
        assert server.ask("state", page=other)["position"] == 0
        assert server.ask("measure", page=other, version=0, index=None, sizes={})["seconds"] > 0
    time.sleep(GRACE / 2)
    with server.page():  # it was loaded again
        time.sleep(GRACE)
        assert server.process.poll() is None
    assert server.ends() == (0, "", "")


@pytest.mark.browser
def test_ctrl_c_stops_a_server_at_once_whatever_it_does(server):
    with server.page() as one:
        body = json.dumps({"page": one, "subject": 0})
        connection = http.client.HTTPConnection(server.host, timeout=30)
        head = {"origin": f"http://{server.host}", "content-type": "application/json"}
        connection.request("POST", f"/{server.token}/moves", body, head)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        started = time.monotonic()
        status, _, error = server.ends()
        assert status == -signal.SIGINT and error.rstrip().endswith("KeyboardInterrupt")
        assert time.monotonic() - started < 3


# ---- in a browser

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture
def opened(server):
    """The page in a browser, with the window of the first subject open, at 1,280 pixels; what it says is wrong fails a test."""
    drive = pytest.importorskip("playwright.sync_api")
    wrong = []
    with drive.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        shown = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        for event in ("pageerror", "dialog"):
            shown.on(event, lambda found: wrong.append(str(found)))
        shown.on("console", lambda message: wrong.append(message.text))
        shown.on(
            "request",
            lambda request: None if request.url.startswith((server.address, "blob:")) else wrong.append(request.url),
        )
        shown.goto(server.address)
        shown.click("button[id='0']")
        shown.locator(".live-move").first.wait_for()
        yield shown
        browser.close()
    assert not wrong


def program(shown):
    """The program that a page shows."""
    return shown.locator(".live-program").inner_text().rstrip("\n").split("\n")


def text_of(s):
    """The lines that a page shows of a program."""
    text = str(s.program)
    return [f"  {line}" for line in text[text.index("def ") :].rstrip("\n").split("\n")]


@pytest.mark.browser
def test_moves_previews_undo_refusals_counts_times_and_exports_of_a_page(opened, server):
    s = product(64, 64)
    opened.get_by_role("button", name="k", exact=True).first.click()
    assert (
        set(opened.locator(".live-move").all_inner_texts()) >= {'unroll("k")'}
        and "unroll" not in opened.locator(".live-move").first.inner_text()
    )
    assert not opened.get_by_role("button", name='parallel("i")').count()
    opened.get_by_role("button", name="no longer only k").click()
    move = opened.get_by_role("button", name='parallel("i")', exact=True)
    move.hover()
    opened.locator(".live-program .add", has_text="parallel").wait_for()
    move.click()
    s.parallel("i")
    opened.locator(".live-trace [aria-current]", has_text="s.parallel").wait_for()
    opened.mouse.move(0, 0)
    assert program(opened) == text_of(s)
    opened.get_by_role("button", name="undo").click()
    opened.locator(".live-trace .undone", has_text="s.parallel").wait_for()
    assert program(opened) == text_of(product(64, 64))
    opened.get_by_role("button", name="redo").click()
    opened.locator(".live-trace [aria-current]", has_text="s.parallel").wait_for()
    step = opened.get_by_label("a step")
    step.fill('s.split("k", factor=0)')
    step.press("Enter")
    refused = opened.locator(".live-refused")
    refused.wait_for()
    assert re.search(
        r"ScheduleError: split\(.*got 0\n    for i in .*\n        for k in range\(64\):\n            \^ here\n.*\nhint: ",
        refused.inner_text(),
        re.DOTALL,
    )
    assert program(opened) == text_of(s)
    step.fill('s.split("k", factor=8)')
    step.press("Enter")
    s.split("k", factor=8)
    opened.locator(".live-trace [aria-current]", has_text="s.split").wait_for()
    assert refused.is_hidden() and step.input_value() == ""
    now = opened.locator(".live-right > .live-rows")
    now.get_by_text("12,288").or_(now.get_by_text(f"{64 * 64 * 3:,}")).first.wait_for()
    opened.locator(".live-row.seen small").first.wait_for()
    now.get_by_role("button").click()
    now.get_by_text(re.compile(r"\d [mµn]?s")).wait_for()
    with opened.expect_download() as saved:
        opened.get_by_role("button", name="save Python").click()
    made = {}
    exec(Path(saved.value.path()).read_text(), made)
    assert made["s"].program is s.program
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1280
    opened.set_viewport_size({"width": 400, "height": 800})
    assert opened.evaluate(
        "document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth"
    )
    opened.get_by_role("button", name="close").click()
    opened.click("button[id='1']")
    opened.get_by_role("heading", name="<img src=x onerror=alert(1)>").wait_for()


@pytest.mark.browser
def test_sixty_random_clicks_through_a_page_make_what_python_makes(opened):
    rng, clicks = random.Random(0), 0
    while clicks < 60:
        steps = opened.locator(".live-trace li").count()
        if steps > 6 or (steps > 1 and rng.random() < 0.3):
            opened.locator(".live-trace button").nth(rng.randrange(min(steps, 4))).click()
        else:
            moves = opened.locator(".live-move")
            moves.nth(rng.randrange(moves.count())).click()
        opened.locator("[role=status]", has_text="moves are legal").wait_for()
        clicks += 1
        s = Schedule(product(64, 64).start)
        for words in opened.locator(".live-trace li:not(.undone) button").all_inner_texts()[1:]:
            exec(words, {"s": s})
        opened.mouse.move(0, 0)
        assert program(opened) == text_of(s)
