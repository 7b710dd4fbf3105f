"""The pages of both animations in a real browser: controls, keys, and what they ask for."""

from __future__ import annotations

import json

import pytest

from tests.support.player import Player

pytest.importorskip("matplotlib")
SCREENS = [(1366, 768), (375, 740)]


def slow_down(player):
    """A frame a second at most, so that the test can keep up."""
    while player.run("return delay") < 1000:
        player.click("Slower")


@pytest.mark.slow
@pytest.mark.parametrize("screen", SCREENS)
def test_every_frame_is_reached_with_the_keyboard(movie, page, browser, screen):
    player, pictures = Player(browser, page, *screen), []
    for number, caption in enumerate(movie.captions, start=1):
        assert player.text("h1") == caption.title
        assert player.text("#note") == caption.note
        assert player.text("#value") == caption.value
        assert player.text("#count") == f"{number} of {len(movie.captions)}"
        pictures.append(player.picture)
        player.press("ARROW_RIGHT")
    assert player.text("h1") == movie.captions[-1].title
    assert len(set(pictures)) == len(pictures)
    for picture in reversed(pictures[:-1]):
        player.press("ARROW_LEFT")
        assert player.picture == picture
    player.press("END")
    assert player.picture == pictures[-1]
    player.press("HOME")
    assert (player.at, player.picture) == (1, pictures[0])


@pytest.mark.slow
def test_each_control_does_what_it_says(movie, page, browser):
    player, n = Player(browser, page), len(movie.captions)
    first = player.picture
    slow_down(player)
    player.click("Next frame")
    player.click("Next frame")
    assert player.at == 3
    assert player.picture != first
    player.click("Previous frame")
    assert (player.at, player.text("h1")) == (2, movie.captions[1].title)
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


@pytest.mark.slow
def test_space_plays_and_pauses_whatever_was_clicked(page, browser):
    player = Player(browser, page)
    slow_down(player)
    player.click("Repeat")
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
def test_nothing_is_cut_off(movie, page, browser, screen):
    player, (width, height) = Player(browser, page, *screen), screen
    player.press("ARROW_RIGHT")
    assert player.run("return document.documentElement.scrollWidth") == width
    boxes = player.run(
        "return [...main.querySelectorAll('h1, p, button, input, img')]"
        ".map((one) => [one.tagName, one.getBoundingClientRect().toJSON()])"
    )
    assert len(boxes) > 15
    for tag, box in boxes:
        assert box["left"] >= 0, tag
        assert box["right"] <= width, tag
        if tag in ("BUTTON", "INPUT"):
            assert box["width"] > 10, tag
            assert box["bottom"] <= height, "a control is below the screen"
    seen = [box["width"] / box["height"] for tag, box in boxes if tag == "IMG" and box["width"]]
    wide, tall = movie.figure.get_size_inches()
    left = 0.56 * wide / tall
    parted = width < 640 and "step by step" in movie.name
    shares = [left, wide / tall - left] if parted else [wide / tall]
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
    assert "http" not in content


def test_a_screen_reader_hears_each_step(movie, page, browser):
    player = Player(browser, page)
    player.press("ARROW_RIGHT")
    player.press("ARROW_RIGHT")
    caption = movie.captions[2]
    alt = browser.find_element("css selector", "img").get_attribute("alt")
    assert alt == ". ".join(filter(None, caption))
    slider = browser.find_element("css selector", "input[type=range]")
    assert slider.get_attribute("aria-label") == "Step"
    assert slider.get_attribute("aria-valuetext") == caption.title
    said = browser.find_element("css selector", "#said")
    assert said.text == f"{caption.title}\n{caption.note}"
    assert said.get_attribute("aria-live") == "polite"
    player.press("SPACE")
    assert said.get_attribute("aria-live") == "off", "it would speak without end"
    names = [one.accessible_name for one in browser.find_elements("css selector", "button")]
    assert names == [
        "First frame",
        "Previous frame",
        "Pause",
        "Next frame",
        "Last frame",
        "Slower",
        "Faster",
        "Repeat",
    ]


@pytest.mark.slow
def test_repeat_starts_again_and_without_it_the_last_frame_stays(movie, page, browser):
    player = Player(browser, page)
    repeat = browser.find_element("css selector", "button[title=Repeat]")
    pressed = repeat.get_attribute("aria-pressed")
    assert pressed == ("false" if "step by step" in movie.name else "true")
    if pressed == "true":
        player.click("Repeat")
    player.press("END")
    player.press("ARROW_LEFT")
    player.press("SPACE")
    player.wait(lambda: not player.playing)
    assert player.at == len(movie.captions)
    player.click("Repeat")
    slow_down(player)
    player.press("ARROW_LEFT")
    player.press("SPACE")
    player.wait(lambda: player.at == 1)
    assert player.playing


def test_faster_and_slower_change_the_pace(page, browser):
    player = Player(browser, page)
    before = player.run("return delay")
    player.click("Faster")
    assert player.run("return delay") < before
    player.click("Slower")
    player.click("Slower")
    assert player.run("return delay") > before


def test_a_notebook_shows_the_page_in_a_frame(movie, page, browser, tmp_path, monkeypatch):
    monkeypatch.setattr(movie, "to_html", lambda: page.read_text(encoding="utf-8"))
    host = tmp_path / "notebook.html"
    host.write_text(f"<!doctype html><meta charset=utf-8>{movie._repr_html_()}", encoding="utf-8")
    browser.get(host.as_uri())
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    player = Player.__new__(Player)
    player.browser = browser
    player.wait(lambda: player.text("h1") == movie.captions[0].title)
    browser.find_element("css selector", "body").click()
    player.press("ARROW_RIGHT")
    assert player.text("h1") == movie.captions[1].title
    browser.switch_to.default_content()
