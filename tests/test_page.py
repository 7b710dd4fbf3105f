"""The page of an animation in a real browser: its controls, its keys, and what it asks for."""

from __future__ import annotations

import json
import shutil

import pytest

from kmgpu.plotting import animate
from tests import oracles

pytest.importorskip("matplotlib")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SCREENS = [(1280, 800), (375, 740)]


@pytest.fixture(scope="module")
def movie():
    return animate(oracles.blobs(60, 2, 3, spread=1.5), 3, loss="l1", init="random", random_state=3)


@pytest.fixture(scope="module")
def page(movie, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "steps.html"
    movie.save(path)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in [*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Player:
    """What a reader of the page sees and does."""

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
        return self.run("return Boolean(window['anim' + main.dataset.player].timer)")

    def press(self, key):
        from selenium.webdriver.common.keys import Keys

        self.browser.switch_to.active_element.send_keys(getattr(Keys, key))

    def click(self, title):
        self.browser.find_element("css selector", f"button[title='{title}']").click()

    def run(self, script):
        return self.browser.execute_script(f"const main = document.querySelector('main'); {script}")


@pytest.mark.parametrize("screen", SCREENS)
def test_every_frame_is_reached_with_the_keyboard(movie, page, browser, screen):
    player, pictures = Player(browser, page, *screen), []
    for number, frame in enumerate(movie.record.frames, start=1):
        assert player.text("h1") == frame.title
        assert player.text("#note") == frame.note
        assert player.text("#count") == f"{number} of {len(movie.record.frames)}"
        pictures.append(player.picture)
        said = player.text("#loss")
        assert bool(said) == (frame.loss is not None)
        if said:
            assert float(said.removeprefix("L(µ) = ")) == pytest.approx(frame.loss, rel=1e-5)
        player.press("ARROW_RIGHT")
    assert player.text("h1") == "Converged"
    assert len(set(pictures)) == len(pictures)
    for picture in reversed(pictures[:-1]):
        player.press("ARROW_LEFT")
        assert player.picture == picture
    player.press("END")
    assert player.picture == pictures[-1]
    player.press("HOME")
    assert (player.at, player.picture) == (1, pictures[0])


def test_each_control_does_what_it_says(movie, page, browser):
    player, n = Player(browser, page), len(movie.record.frames)
    first = player.picture
    player.click("Next frame")
    player.click("Next frame")
    assert player.at == 3
    assert player.picture != first
    player.click("Previous frame")
    assert (player.at, player.text("h1")) == (2, movie.record.frames[1].title)
    player.click("Last frame")
    assert player.at == n
    player.click("Play")  # from the end: again from the beginning
    player.wait(lambda: player.at == 2)
    assert player.playing
    player.click("Pause")
    assert not player.playing
    assert player.at < n
    player.click("First frame")
    assert (player.at, player.picture) == (1, first)
    player.run(
        "const slider = main.querySelector('input[type=range]'); slider.value = 3;"
        "slider.dispatchEvent(new Event('input'));"
    )
    assert player.at == 4


def test_space_plays_and_pauses_whatever_was_clicked(page, browser):
    player = Player(browser, page)
    player.click("Next frame")
    player.press("SPACE")
    assert player.playing
    player.wait(lambda: player.at == 3)
    player.press("SPACE")
    assert not player.playing
    player.press("SPACE")
    assert player.playing
    player.press("ARROW_RIGHT")
    assert not player.playing


def test_a_button_reached_with_the_keyboard_takes_the_space(page, browser):
    player = Player(browser, page)
    player.run("main.querySelector(\"button[title='Next frame']\").focus()")
    player.press("SPACE")
    assert player.at == 2
    assert not player.playing


@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_is_cut_off(page, browser, screen):
    player, (width, height) = Player(browser, page, *screen), screen
    player.press("ARROW_RIGHT")
    assert player.run("return document.documentElement.scrollWidth") == width
    boxes = player.run(
        "return [...main.querySelectorAll('h1, p, button, input, label, img')]"
        ".map((one) => [one.tagName, one.getBoundingClientRect().toJSON()])"
    )
    assert len(boxes) > 20
    for tag, box in boxes:
        assert box["left"] >= 0, tag
        assert box["right"] <= width, tag
        if tag in ("BUTTON", "INPUT"):
            assert box["width"] > 10, tag
            assert box["bottom"] <= height, "a control is below the screen"
    seen = [box["width"] / box["height"] for tag, box in boxes if tag == "IMG" and box["width"]]
    shares = [5.6 / 5.7, 4.4 / 5.7] if width < 640 else [10 / 5.7]
    assert seen == pytest.approx(shares, rel=0.02)


def test_the_page_needs_no_network_and_no_console(page, browser):
    player = Player(browser, page)
    for key in ("ARROW_RIGHT", "END", "SPACE", "SPACE"):
        player.press(key)
    assert browser.get_log("browser") == []
    messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = [
        m["params"]["request"]["url"]
        for m in messages
        if "requestWillBeSent" in m["method"] and "request" in m["params"]
    ]
    assert asked
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "about"}
    content = page.read_text(encoding="utf-8")
    assert "http" not in content.replace("http://www.w3.org", "")


def test_a_screen_reader_hears_each_step(movie, page, browser):
    player = Player(browser, page)
    player.press("ARROW_RIGHT")
    player.press("ARROW_RIGHT")
    frame = movie.record.frames[2]
    alt = browser.find_element("css selector", "img").get_attribute("alt")
    assert alt == f"{frame.title}. {frame.note}. L(µ) = {frame.loss:.6g}"
    slider = browser.find_element("css selector", "input[type=range]")
    assert slider.get_attribute("aria-label") == "Step"
    assert slider.get_attribute("aria-valuetext") == frame.title


def test_a_notebook_shows_the_page_in_a_frame(movie, page, browser, tmp_path, monkeypatch):
    monkeypatch.setattr(movie, "to_html", lambda: page.read_text(encoding="utf-8"))
    host = tmp_path / "notebook.html"
    host.write_text(f"<!doctype html><meta charset=utf-8>{movie._repr_html_()}", encoding="utf-8")
    browser.get(host.as_uri())
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    player = Player.__new__(Player)
    player.browser = browser
    player.wait(lambda: player.text("h1") == "The data")
    browser.find_element("css selector", "body").click()
    player.press("ARROW_RIGHT")
    assert player.text("h1") == movie.record.frames[1].title
    browser.switch_to.default_content()
