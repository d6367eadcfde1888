"""The live server: this machine only, by the address that was printed; pages do not disturb each other; it stops with the last one."""

import asyncio
import contextlib
import http.client
import json
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc.cli import explore
from minicc.cli.explore import explore_command
from minicc.errors import ConfigError, ScheduleError
from minicc.explain import serve as served
from minicc.explain.live import Session, LiveKernel
from minicc.explain.serve import Pages, BadRequest, guarded, listen
from minicc.explain.workbench import Workbench, here
from minicc.loop.counts import count
from minicc.schedule import Schedule
from minicc.schedule.examples import product
from tests.explain.chromium import chromium, opened

TOKEN, HOSTS = "secret", ["127.0.0.1:80", "localhost:80"]
GOOD = {"host": HOSTS[0], "origin": f"http://{HOSTS[0]}", "content-type": "application/json"}
GRACE = 2.0
SCRIPT = "from minicc.schedule.examples import product\ns = product(64, 64)\n"
NAME = "<img src=x onerror=alert(1)>.py"
COMMAND = f"""
import sys
from minicc.cli import main
from minicc.explain import serve
serve.GRACE = float(sys.argv[1])
sys.argv = ["minicc", "explore", {NAME!r}, "--serve", "--no-open"]
main()
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
    link = {"host": HOSTS[0], "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert asked(f"/{TOKEN}/", "GET", **link)[:2] == (200, True)


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
    "a form of another site": (403, GOOD | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}),
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
    return Pages([LiveKernel("product", product(64, 64).start)] * 2, Workbench(here))


WRONG = [
    (400, "state", []),
    (400, "state", {}),
    (400, "state", {"page": "", "kernel": "0"}),
    (400, "state", {"page": "", "kernel": True}),
    (400, "state", {"page": "", "kernel": -1}),
    (400, "state", {"page": "", "kernel": 0, "more": 1}),
    (400, "move", {"page": "", "kernel": 0, "version": 0, "index": 0.0}),
    (400, "move", {"page": "", "kernel": 0, "version": 0, "index": 1 << 40}),
    (400, "type", {"page": "", "kernel": 0, "text": ["s.unroll('i')"]}),
    (400, "count", {"page": "", "kernel": 0, "version": 0, "indices": [0] * 9, "sizes": {}, "caches": []}),
    (400, "count", {"page": "", "kernel": 0, "version": 0, "indices": [0], "sizes": {}, "caches": [[None]]}),
    (400, "measure", {"page": "", "kernel": 0, "version": 0, "index": None, "sizes": {"n": "1"}}),
    (404, "__class__", {"page": "", "kernel": 0}),
    (404, "state", {"page": "", "kernel": 0}),
    (404, "state", {"page": "another", "kernel": 0}),
]


@pytest.mark.parametrize("case", WRONG, ids=range(len(WRONG)))
def test_what_is_not_as_the_actions_have_it_is_refused(case):
    status, action, body = case
    known = pages()
    name = known.enter("")
    with pytest.raises(BadRequest) as refused:
        known.answer(action, {**body, "page": body["page"] or (name if status == 400 else "")} if body else body)
    assert refused.value.status == status


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text("s.unroll(i)'\"\0\xe9")
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("index"), inner, max_size=3)
)


@given(st.sampled_from(list(served.ACTIONS)), st.data())
def test_whatever_a_page_asks_is_answered_or_refused(action, data):
    known = pages()
    small = st.integers(0, 3) | JSON
    fields = {name: data.draw(small) for name in served.ACTIONS[action].fields}
    try:
        assert isinstance(known.answer(action, {"page": known.enter(""), "kernel": data.draw(small), **fields}), dict)
    except BadRequest as refused:
        assert refused.status in (400, 404)


def test_each_page_has_its_own_sessions_and_both_are_limited(monkeypatch):
    known = pages()
    one, other = known.enter(""), known.enter("")
    ask = lambda page, action, kernel=0, **more: known.answer(action, {"page": page, "kernel": kernel, **more})  # noqa: E731
    assert ask(one, "type", text='s.unroll("i")')["steps"] == ['s.unroll("i")']
    assert ask(other, "state")["steps"] == ask(one, "state", 1)["steps"] == []
    assert ask(one, "move", version=0, index=0) == {"stale": True}
    assert ask(one, "type", text="s.unroll()")["refused"].startswith("ScheduleError: unroll(...)")
    with pytest.raises(BadRequest):
        ask(one, "state", 2)
    for _ in range(served.MOST_PAGES - 2):
        known.enter("")
    with pytest.raises(BadRequest, match="429"):
        known.enter("")
    monkeypatch.setattr(served, "MOST_SESSIONS", 1)
    with pytest.raises(BadRequest, match="429"):
        ask(other, "state", 1)


def test_a_page_is_closed_when_its_stream_has_ended_for_a_while_and_the_last_one_is_told(monkeypatch):
    known = pages()
    one, other = known.enter(""), known.enter("")
    assert known.enter(one) not in (one, other), "a copy of a page that is open is another page"
    known.leave(one)
    assert not known.close() and known.enter(one) == one, "one that is loaded again is the same page"
    monkeypatch.setattr(served, "GRACE", 0)
    known.leave(one)
    assert not known.close() and known.enter(one) != one
    for page in list(known._pages):
        known.leave(page)
    assert known.close()


def test_without_the_extra_serve_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=re.escape('hint: pip install "minicc[explore]"')):
        explore_command(Path("not_read.py"), live=True)


@pytest.fixture
def given(monkeypatch):
    """What the command gives to the server, which does not start; nothing listens."""
    found, browsers = [], []
    monkeypatch.setattr(explore, "listen", lambda port: port)
    monkeypatch.setattr(explore, "serve", lambda *given: found.append(given))
    monkeypatch.setattr(explore.webbrowser, "open", browsers.append)
    return found, browsers


def test_a_script_is_served_with_python_that_makes_its_schedule_and_writes_no_file(
    given, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("a b.py").write_text(SCRIPT + 's.unroll("i")\n')
    explore_command(Path("a b.py"), live=True, port=8000)
    [(text, [kernel], port, told)], browsers = given
    assert port == 8000 and "const live" in text and "connect-src 'self'" in text
    one, made = Session(kernel, Workbench(here)), {}
    exec(one.state()["python"], made)
    assert one.state()["steps"] == ['s.unroll("i")'] and made["s"].program is one.program
    told("http://address/")
    for _ in range(100):
        if browsers:
            break
        time.sleep(0.01)
    assert browsers == ["http://address/"] and "serving http://address/\n" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["a b.py"]


@pytest.mark.slow
def test_the_kernels_of_a_model_are_served_with_python_that_makes_their_schedules(given, capsys):
    digits = Path(explore.__file__).parent / "digits" / "digits.onnx"
    explore_command(digits, live=True, run=False, dim=["batch=1"], target="haswell", opens=False)
    [(_, kernels, _, _)], _ = given
    assert len(kernels) > 5
    for kernel in kernels[:2]:
        one, made = Session(kernel, Workbench(here)), {}
        exec(one.source(), made)
        assert made["s"].program is one.program is kernel.trace.replay(kernel.naive).program


def test_a_port_that_is_taken_is_told():
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="expected a port that is free"):
            listen(taken.getsockname()[1])
    with pytest.raises(ConfigError, match="expected a port that is free"):
        listen(1 << 20)


# ---- with one


class Server:
    """A server in a process of its own, and requests to it."""

    def __init__(self, folder, grace):
        (folder / NAME).write_text(SCRIPT)
        self.folder, self.grace = folder, grace
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(grace)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert select.select([self.process.stdout], [], [], 60)[0]
        self.process.stdout.readline()
        self.address = self.process.stdout.readline().strip().removeprefix("serving ")
        self.host, self.token = re.fullmatch(r"http://(127\.0\.0\.1:\d+)/([\w-]{32})/", self.address).groups()

    def request(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        sent = {"origin": f"http://{self.host}", "content-type": "application/json"} if method == "POST" else {}
        connection.request(method, path, body, sent | headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())

    def ask(self, action, **fields):
        status, text, _ = self.request("POST", f"/{self.token}/{action}", json.dumps({"kernel": 0, **fields}))
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
        """The exit status, and what was told on the way."""
        _, error = self.process.communicate(timeout=within)
        return self.process.returncode, error


@pytest.fixture
def server(request, tmp_path):
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    made = Server(tmp_path, getattr(request, "param", GRACE))
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
    status, error = server.ends()
    assert status == 0 and "Error" not in error
    assert [path.name for path in server.folder.iterdir()] == [NAME]


@pytest.mark.browser
def test_ctrl_c_stops_a_server_at_once_whatever_it_does(server):
    with server.page() as one:
        body = json.dumps({"page": one, "kernel": 0})
        connection = http.client.HTTPConnection(server.host, timeout=30)
        head = {"origin": f"http://{server.host}", "content-type": "application/json"}
        connection.request("POST", f"/{server.token}/moves", body, head)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        started = time.monotonic()
        status, error = server.ends()
        assert status == 130 and error.endswith("minicc explore: stopped by Ctrl-C; no file is left half-written\n")
        assert time.monotonic() - started < 8


# ---- in a browser


@pytest.fixture
def shown(server):
    """The page in a browser, with the window of moves open."""
    pytest.importorskip("playwright")
    with chromium() as browser, opened(browser, server.address, height=900) as page:
        page.set_default_timeout(60_000)
        page.get_by_role("button", name="moves", exact=True).click()
        ready(page, 0)
        yield page
    if server.grace == GRACE:
        assert server.ends()[0] == 0, "the page was closed"


def ready(page, version):
    """Wait until all moves of a version of the program are listed."""
    page.locator(f".live-list[data-version='{version}']").wait_for()


def program(shown):
    """The program that a page shows."""
    return shown.locator(".live-program").inner_text().rstrip("\n").split("\n")


def text_of(s):
    """The lines that a page shows of a program."""
    text = str(s.program)
    return [f"  {line}" for line in text[text.index("def ") :].rstrip("\n").split("\n")]


@pytest.mark.browser
@pytest.mark.parametrize("server", [60.0], indirect=True, ids=["patient"])  # a slow machine loads the page again
def test_moves_previews_undo_refusals_counts_times_and_exports_of_a_page(shown, server):
    s = product(64, 64)
    dialog = shown.get_by_role("dialog")
    assert dialog.get_by_role("heading").inner_text() == NAME.removesuffix(".py")
    dialog.get_by_role("button", name="k", exact=True).first.click()
    assert all('"k"' in words for words in dialog.locator(".live-move").all_inner_texts())
    dialog.get_by_role("button", name="no longer only k").click()
    move = dialog.get_by_role("button", name='parallel("i")', exact=True)
    place = move.bounding_box()
    dialog.locator(".live-list small").first.wait_for()
    assert move.bounding_box() == place, "counts that come move nothing under a pointer"
    move.hover()
    dialog.locator(".live-program .add", has_text="parallel").wait_for()
    move.click()
    ready(shown, 1)
    shown.mouse.move(0, 0)
    s.parallel("i")
    assert program(shown) == text_of(s)
    dialog.get_by_role("button", name="undo").click()
    ready(shown, 2)
    assert program(shown) == text_of(product(64, 64))
    dialog.get_by_role("button", name="redo").click()
    ready(shown, 3)
    step, refused = dialog.get_by_label("a step"), dialog.locator(".live-refused")
    step.fill('s.split("k", factor=0)')
    step.press("Enter")
    refused.wait_for()
    with pytest.raises(ScheduleError) as error:
        s.split("k", factor=0)
    assert refused.inner_text() == str(error.value) and " ^ here\n" in str(error.value)
    assert program(shown) == text_of(s)
    step.fill('s.split("k", factor=8)')
    step.press("Enter")
    ready(shown, 4)
    s.split("k", factor=8)
    assert refused.is_hidden() and step.input_value() == "" and program(shown) == text_of(s)
    now = dialog.locator(".live-right > .live-rows")
    now.get_by_text(f"{count(s.program).loads:,}", exact=True).wait_for()
    dialog.locator(".live-list small").first.wait_for()
    now.get_by_role("button").click()
    now.get_by_text(re.compile(r"\d [mµn]?s")).wait_for()
    with shown.expect_download() as saved:
        dialog.get_by_role("button", name="save Python").click()
    made = {}
    with contextlib.chdir(server.folder):
        exec(Path(saved.value.path()).read_text(), made)
    assert made["s"].program is s.program
    shown.reload()
    shown.get_by_role("button", name="moves", exact=True).click()
    ready(shown, 4)
    assert program(shown) == text_of(s)
    shown.set_viewport_size({"width": 400, "height": 800})
    assert dialog.evaluate("box => box.scrollWidth <= box.clientWidth")
    dialog.get_by_role("button", name="close").click()
    dialog.wait_for(state="hidden")


@pytest.mark.browser
def test_sixty_random_clicks_through_a_page_make_what_python_makes(shown):
    rng = random.Random(0)
    for click in range(1, 61):
        steps = shown.locator(".live-trace li").count()
        if steps > 6 or rng.random() < 0.3:
            shown.locator(".live-trace button").nth(rng.randrange(min(steps, 4))).dispatch_event("click")
        else:
            moves = shown.locator(".live-move")
            moves.nth(rng.randrange(moves.count())).dispatch_event("click")
        ready(shown, click)
        s = Schedule(product(64, 64).start)
        for words in shown.locator(".live-trace li:not(.undone) button").all_inner_texts()[1:]:
            exec(words, {"s": s})
        assert program(shown) == text_of(s)
