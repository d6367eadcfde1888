"""A page of the explorer in Chromium, for tests: what it says of errors, and what it asks of the network, fails the test."""

import contextlib

CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync")  # fmt: skip


@contextlib.contextmanager
def opened(path, width=1280, height=800, colours="light", fragment=""):
    """The page of a file. Raises AssertionError in the end where it asked for more, opened a dialog, or had an error."""
    from playwright.sync_api import sync_playwright

    said = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*CHROMIUM])
        context = browser.new_context(color_scheme=colours, viewport={"width": width, "height": height})
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: request.url.startswith(path.as_uri()) or said.append(request.url))
        page.goto(path.as_uri() + fragment)
        yield page
        browser.close()
    assert said == []
