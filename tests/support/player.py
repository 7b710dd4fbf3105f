"""The page of an animation in a real browser: what a reader of it sees and does."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def start(profile):
    """The driver of a browser whose files are in the folder `profile`."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in [*OPTIONS, f"--user-data-dir={profile}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


class Player:
    """A page on a screen of that size."""

    def __init__(self, browser, page, width=1280, height=800):
        self.browser = browser
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(page.as_uri())
        self.wait(lambda: self.text("h1"))

    def wait(self, condition):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, 60, poll_frequency=0.05).until(lambda _: condition())

    def next_frame(self):
        """Return when the browser has drawn once more."""
        self.browser.execute_async_script(
            "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()));"
        )

    def text(self, selector):
        return self.browser.find_element("css selector", selector).text

    @property
    def at(self):
        """The number of the frame, from 1, as the page tells it."""
        return int(self.text("#count").split()[0])

    @property
    def picture(self):
        return self.browser.find_element("css selector", "img").get_attribute("src")

    @property
    def playing(self):
        return (
            self.browser.find_element("css selector", "#toggle").get_attribute("title") == "Pause"
        )

    def press(self, key):
        from selenium.webdriver.common.keys import Keys

        self.browser.switch_to.active_element.send_keys(getattr(Keys, key))

    def click(self, title):
        self.browser.find_element("css selector", f"button[title='{title}']").click()

    def run(self, script):
        return self.browser.execute_script(f"const main = document.querySelector('main'); {script}")
