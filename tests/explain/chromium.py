"""Pages in Chromium, driven by Playwright, for tests marked `browser`."""

import contextlib
import shutil

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextlib.contextmanager
def chromium():
    """A browser; its pages are opened by `opened`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser, address, width=1280, height=800, colours="light", within=""):
    """The page at an address. Raises AssertionError in the end where it had an error, opened a dialog or asked for anything else;
    `within` is what the addresses that it may go to begin with."""
    said, within = [], within or address.partition("#")[0]
    context = browser.new_context(color_scheme=colours, viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith(within) or said.append(request.url))
    page.goto(address)
    yield page
    context.close()
    assert said == []
