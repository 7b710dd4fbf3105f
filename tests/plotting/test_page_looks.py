"""How the pages of both animations look: on a projector, a laptop and a phone, light and dark."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest

from tests.support.player import Player

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.slow
PROJECTOR, LAPTOP, PHONE = (1920, 1080), (1366, 768), (375, 740)
SCREENS = [PROJECTOR, LAPTOP, PHONE]


@pytest.fixture(params=["light", "dark"])
def scheme(browser, request):
    _prefer(browser, request.param)
    yield request.param
    _prefer(browser, "light")


def _prefer(browser, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def _pixels(browser):
    """The screen, (height, width, 3) in [0, 1]."""
    png = b64decode(browser.get_screenshot_as_base64())
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")) / 255


def _box(player, selector):
    return player.run(
        f"return document.querySelector({selector!r}).getBoundingClientRect().toJSON()"
    )


@pytest.mark.parametrize("screen", SCREENS)
def test_picture_and_controls_stay_where_they_are(movie, page, browser, screen):
    player, places = Player(browser, page, *screen), set()
    for _ in movie.captions:
        places.add((_box(player, "#picture")["top"], _box(player, "#controls")["top"]))
        player.press("ARROW_RIGHT")
    assert player.at == len(movie.captions)
    assert len(places) == 1


def test_a_turned_phone_has_room_for_its_captions(movie, page, browser):
    player, tops = Player(browser, page, 740, 375), set()
    screen = {"width": 320, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    player.wait(lambda: player.run("return innerWidth") == 320)
    player.next_frame()  # the page is told of its size just before one
    for _ in movie.captions:
        tops.add(_box(player, "#picture")["top"])
        player.press("ARROW_RIGHT")
    assert len(tops) == 1


@pytest.mark.parametrize("screen", SCREENS)
def test_buttons_are_large_enough_for_a_thumb(page, browser, screen):
    player = Player(browser, page, *screen)
    boxes = player.run(
        "return [...main.querySelectorAll('button')].map((one) => one.getBoundingClientRect())"
    )
    assert len(boxes) == 8
    assert min(box[side] for box in boxes for side in ("width", "height")) >= 44
    if screen == PHONE:
        assert _box(player, "#slider")["height"] >= 44


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_is_dark_where_the_reader_asks_for_it(page, browser, scheme, screen):
    Player(browser, page, *screen)
    levels = _pixels(browser).mean(axis=-1)
    paper = np.median(levels)
    assert (paper < 0.1) if scheme == "dark" else (paper > 0.95)
    assert (np.abs(levels - paper) < 0.1).mean() > 0.6
    assert np.abs(levels - paper).max() > 0.75, "the ink stands out"


def test_colours_keep_their_hues_in_the_dark(page, browser):
    """The mean is red and the median blue, whatever the reader prefers."""
    Player(browser, page, *LAPTOP).press("END")
    light = _pixels(browser)
    _prefer(browser, "dark")
    dark = _pixels(browser)
    _prefer(browser, "light")
    pictured = np.s_[90:500]  # above the controls
    for one, other in ((0, 2), (2, 0)):
        coloured = light[pictured][..., one] > light[pictured][..., other] + 0.3
        assert coloured.sum() > 100
        seen = dark[pictured][coloured]
        assert (seen[:, one] > seen[:, other]).mean() > 0.98


@pytest.mark.parametrize("screen", [LAPTOP, PHONE])
def test_pictures_are_sharp_on_a_fine_screen(page, browser, screen):
    player = Player(browser, page, *screen)
    shown = player.run("return main.querySelector('#picture').getBoundingClientRect().height")
    assert player.run("return main.querySelector('#picture').naturalHeight") >= 1.6 * shown


def test_a_projector_shows_large_type(page, browser):
    sizes = {}
    for screen in (LAPTOP, PROJECTOR):
        player = Player(browser, page, *screen)
        size = player.run("return getComputedStyle(document.querySelector('h1')).fontSize")
        sizes[screen] = float(size.removesuffix("px")), _box(player, "#picture")["height"]
    assert sizes[PROJECTOR][0] > 1.2 * sizes[LAPTOP][0]
    assert sizes[PROJECTOR][1] > 0.68 * PROJECTOR[1]


def test_without_scripts_the_last_frame_is_shown(movie, page, browser):
    disabled = "Emulation.setScriptExecutionDisabled"
    browser.execute_cdp_cmd(disabled, {"value": True})
    try:
        browser.get(page.as_uri())
        picture = browser.find_element("css selector", "noscript img")
        words = ". ".join(filter(None, movie.captions[-1]))
        assert picture.is_displayed()
        assert picture.get_attribute("alt") == words
        source = picture.get_attribute("src")
        text = browser.find_element("css selector", "main").text
        assert words in text
        assert f"The last of {len(movie.captions)} frames" in text
        assert "Keys:" not in text
        assert not browser.find_element("css selector", "#player").is_displayed()
    finally:
        browser.execute_cdp_cmd(disabled, {"value": False})
    player = Player(browser, page)
    player.press("END")
    assert player.picture == source
    assert browser.find_elements("css selector", "noscript img") == []
