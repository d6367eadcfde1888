"""The server of the live explorer: one page, and sessions behind it, for the browsers of this machine.

In: the text of a page, and the kernels that it is about. Out: an address on 127.0.0.1, until the last page is closed, or Ctrl-C.
The page asks by `POST`, with JSON, and holds a stream of events open, whose end says that it is closed; what is asked of which
session stands in ACTIONS. Nothing is read from a path, and nothing that a page sends is run.

What is refused: addresses without the secret that only the printed one has, requests for another host (DNS rebinding) or from
another site, bodies that are large or not as ACTIONS has them. Each page has its own sessions; both are limited in number.
Sources: Fetch Standard (Origin), RFC 9110, 7.2 (Host), HTML Standard, 9.2 (server-sent events), ASGI 3.0.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from minicc.errors import ConfigError, MiniccError
from minicc.explain.live import Session, Stale, LiveKernel
from minicc.explain.workbench import Workbench

HOST = "127.0.0.1"
GRACE = 3.0  # seconds until a page that is not there is closed: one that is loaded again is back before
BEAT = 10.0  # seconds between signs of life, which show a connection that is gone
TICK = 0.1  # seconds until a stream sees that the server stops
MOST_BODY = 64 * 1024  # bytes of a request
MOST_PAGES, MOST_SESSIONS = (
    4,
    64,
)  # at once, and of a page; a browser has six connections to a host, and a page holds one
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}  # of every answer

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class BadRequest(Exception):
    """A request is no good: the status of the answer, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason


# ---- what is asked, without HTTP


class Question(NamedTuple):
    """What a page may ask of a session: the fields that it sends, and who answers."""

    fields: Mapping[str, Callable[[Any], bool]]
    answer: Callable[..., Any]


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= 64 and all(map(_number, value.values()))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _after(change: Callable[..., Any]) -> Callable[..., Any]:
    """A change, answered by the state that it leads to."""

    def act(session: Session, **given: Any) -> Any:
        change(session, **given)
        return session.state()

    return act


def _index(value: Any) -> bool:
    return value is None or _number(value)


def _list(of: Callable[[Any], bool], most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(of, value))


MOVE: dict[str, Callable[[Any], bool]] = {"version": _number, "index": _number}
COSTS: dict[str, Callable[[Any], bool]] = {"version": _number, "sizes": _numbers}
ACTIONS = {
    "state": Question({}, Session.state),
    "moves": Question({}, Session.moves),
    "move": Question(MOVE, _after(Session.move)),
    "type": Question({"text": _text}, _after(Session.type)),
    "go": Question({"position": _number}, _after(Session.go)),
    "preview": Question(MOVE, lambda session, **given: {"lines": session.preview(**given)}),
    "count": Question(COSTS | {"indices": _list(_index, 8), "caches": _list(_list(_number, 3), 4)}, Session.count),
    "measure": Question(COSTS | {"index": _index}, Session.measure),
}


class Pages:
    """The pages that are open, each with a session for every kernel that it has asked about."""

    def __init__(self, kernels: Sequence[LiveKernel], workbench: Workbench) -> None:
        self._kernels, self._bench = kernels, workbench
        self._pages: dict[str, dict[int, Session]] = {}
        self._left: dict[str, float] = {}  # when the stream of a page that has none has ended

    def enter(self, page: str) -> str:
        """A stream of a page is there: of the one of that name if it has none, else of a new one. Raises BadRequest."""
        if self._left.pop(page, None) is None:
            if len(self._pages) >= MOST_PAGES:
                raise BadRequest(429, f"expected at most {MOST_PAGES} open pages; close one")
            page = secrets.token_urlsafe(16)
            self._pages[page] = {}
        return page

    def leave(self, page: str) -> None:
        """The stream of a page has ended."""
        self._left[page] = time.monotonic()

    def close(self) -> bool:
        """Forget the pages that have had no stream for a while. Whether none is left."""
        for page in [page for page, left in self._left.items() if time.monotonic() - left >= GRACE]:
            del self._pages[page], self._left[page]
        return not self._pages

    def answer(self, action: str, body: Any) -> Any:
        """What a page asks: `page`, `kernel` and the fields of the action. Raises BadRequest."""
        found = ACTIONS.get(action)
        if found is None:
            raise BadRequest(404, "no such action")
        fields = {"page": _text, "kernel": _number, **found.fields}
        if not isinstance(body, dict) or body.keys() != fields.keys():
            raise BadRequest(400, f"expected an object with {', '.join(fields)}")
        if wrong := [name for name, good in fields.items() if not good(body[name])]:
            raise BadRequest(400, f"expected another kind of {wrong[0]}")
        session = self._session(body.pop("page"), body.pop("kernel"))
        try:
            return found.answer(session, **body)
        except Stale:
            return {"stale": True}
        except MiniccError as error:
            return {"refused": str(error)}

    def _session(self, page: str, kernel: int) -> Session:
        sessions = self._pages.get(page)
        if sessions is None or kernel >= len(self._kernels):
            raise BadRequest(404, "no such page or kernel")
        if kernel not in sessions:
            if len(sessions) >= MOST_SESSIONS:
                raise BadRequest(429, f"expected at most {MOST_SESSIONS} sessions of a page; load it again")
            sessions.setdefault(kernel, Session(self._kernels[kernel], self._bench))
        return sessions[kernel]


# ---- HTTP


def guarded(app: App, token: str, hosts: Sequence[str]) -> App:
    """An application that sees only requests with the token, for one of the hosts, and from a page of its own."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no websockets, and nothing to do when the server starts and stops

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    *[(k.encode(), v.encode()) for k, v in HEADERS.items()],
                ]
            await send(message)

        if problem := _problem(scope, token, hosts):
            await told(
                {"type": "http.response.start", "status": problem.status, "headers": [(b"content-type", b"text/plain")]}
            )
            await told({"type": "http.response.body", "body": f"{problem.reason}\n".encode()})
        else:
            await app(scope, receive, told)

    return run


def _problem(scope: Scope, token: str, hosts: Sequence[str]) -> BadRequest | None:
    """Why a request is refused before anybody looks into it; None where it is not."""
    given = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]
    headers = dict(given)
    if [v for k, v in given if k == "host"] not in [[host] for host in hosts]:
        return BadRequest(421, "expected the host and the port that were printed")
    if not secrets.compare_digest([*scope["path"].split("/"), ""][1].encode("utf-8", "replace"), token.encode()):
        return BadRequest(404, "expected the address that was printed")
    opened = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"  # by a link in a mail, say
    if not opened and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return BadRequest(403, "expected a request of this site")
    if scope["method"] == "POST" and headers.get("origin") != f"http://{headers['host']}":
        return BadRequest(403, "expected a request of this site")
    if scope["method"] == "POST" and headers.get("content-type") != "application/json":
        return BadRequest(415, "expected JSON")
    return None


def application(
    text: str, pages: Pages, token: str, hosts: Sequence[str], stopping: Callable[[], bool], stop: Callable[[], None]
) -> App:
    """The ASGI application: the page, its stream of events, and its actions. `stop` is called when the last page is closed."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    async def show(request: Request) -> Response:
        return HTMLResponse(text)

    async def stream(request: Request) -> Response:
        known = request.headers.get("last-event-id") or request.query_params.get("page", "")
        page = pages.enter(known)
        return StreamingResponse(events(page, pages, stopping, stop), media_type="text/event-stream")

    async def act(request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await run_in_threadpool(pages.answer, request.path_params["action"], body))

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, BadRequest)
        return PlainTextResponse(f"{error.reason}\n", error.status)

    routes = [
        Route(f"/{token}/", show),
        Route(f"/{token}/events", stream),
        Route(f"/{token}/{{action}}", act, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={BadRequest: refuse})
    app.router.redirect_slashes = False
    return guarded(app, token, hosts)


async def events(page: str, pages: Pages, stopping: Callable[[], bool], stop: Callable[[], None]) -> AsyncIterator[str]:
    """The stream of a page: its name, then signs of life, until either side ends."""

    def close() -> None:
        if pages.close():
            stop()

    try:
        yield f"id: {page}\ndata: {page}\n\n"
        for beat in count(1):
            if stopping():
                return
            await asyncio.sleep(TICK)
            if beat % round(BEAT / TICK) == 0:
                yield ":\n\n"
    finally:
        pages.leave(page)
        asyncio.get_running_loop().call_later(GRACE + TICK, close)


async def _body(request: Any) -> Any:
    """The body of a request. Raises BadRequest for one that is too large, or no JSON."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BODY:
            raise BadRequest(413, f"expected at most {MOST_BODY} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(400, "expected JSON") from None


def listen(port: int = 0) -> socket.socket:
    """A socket of this machine at a port, or at any free one, for `serve`.

    Raises ConfigError when the extra `explore` is not installed, or the port is not free.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        problem = f"expected the packages that serve a page, got none of the name {error.name}"
        hint = 'pip install "minicc[explore]"; without --serve none is needed'
        raise ConfigError("explore --serve", problem, hint=hint) from None
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        bound.listen()
    except (OSError, OverflowError) as error:
        bound.close()
        problem = f"expected a port that is free, got {port} ({error})"
        raise ConfigError(f"explore --serve --port {port}", problem, hint="--port 0 takes any that is free") from None
    return bound


def serve(text: str, kernels: Sequence[LiveKernel], bound: socket.socket, told: Callable[[str], None] = print) -> None:
    """Serve a page at a socket that `listen` gave, until the last page that was open is closed; `told` is given the address.

    Raises KeyboardInterrupt by Ctrl-C.
    """
    import uvicorn

    port, token, bench = bound.getsockname()[1], secrets.token_urlsafe(24), Workbench()

    def stop() -> None:
        server.should_exit = True
        bench.stop()

    def on_signal(sign: int, frame: Any) -> None:
        bench.stop()  # what threads wait for
        uvicorn.Server.handle_exit(server, sign, frame)

    hosts = [f"{HOST}:{port}", f"localhost:{port}"]
    app = application(text, Pages(kernels, bench), token, hosts, lambda: server.should_exit, stop)
    server = uvicorn.Server(
        uvicorn.Config(
            app, http="h11", ws="none", lifespan="off", loop="asyncio", log_config=None, log_level="critical",
            access_log=False, server_header=False, timeout_graceful_shutdown=1, limit_concurrency=64,
        )
    )  # fmt: skip
    server.handle_exit = on_signal
    try:
        told(f"http://{HOST}:{port}/{token}/")
        server.run(sockets=[bound])
    finally:
        bound.close()
        bench.close()
