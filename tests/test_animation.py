"""The story as a file: a page in a real browser, .gif, .mp4 and .png."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import kmgpu
from kmgpu.cli import main
from kmgpu.examples import EXAMPLES, load_example
from kmgpu.plotting import animate
from tests import oracles

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SCREENS = [(1280, 800), (375, 740)]
REFERENCES = Path(__file__).parent / "reference_images"


def shown_steps():
    return animate(oracles.blobs(60, 2, 3, spread=1.5), 3, loss="l1", init="random", random_state=3)


@pytest.fixture(scope="module")
def movie():
    return shown_steps()


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
    for number, frame in enumerate(movie.story.frames, start=1):
        assert player.text("h1") == frame.title
        assert player.text("#note") == frame.note
        assert player.text("#count") == f"{number} of {len(movie.story.frames)}"
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
    player, n = Player(browser, page), len(movie.story.frames)
    first = player.picture
    player.click("Next frame")
    player.click("Next frame")
    assert player.at == 3
    assert player.picture != first
    player.click("Previous frame")
    assert (player.at, player.text("h1")) == (2, movie.story.frames[1].title)
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
    frame = movie.story.frames[2]
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
    assert player.text("h1") == movie.story.frames[1].title
    browser.switch_to.default_content()


def test_a_page_of_thirty_steps_is_small(tmp_path):
    movie = animate(oracles.blobs(5000, 2, 20, spread=2), 20, init="random", max_frames=5)
    movie.save(tmp_path / "x.html")
    sizes = [
        len(line) for line in (tmp_path / "x.html").read_text().splitlines() if ";base64" in line
    ]
    assert len(sizes) == 5
    assert 30 * max(sizes) + 50_000 < 5_000_000
    assert (tmp_path / "x.html").stat().st_size < sum(sizes) + 50_000


def test_a_gif_has_every_frame(movie, tmp_path):
    movie.save(tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.n_frames == len(movie.story.frames)
        assert gif.info["duration"] == 1000
        frames = []
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append(np.asarray(gif.convert("RGB")))
        assert gif.info["duration"] > 1000
    assert all((one != other).any() for one, other in pairwise(frames))


def test_an_mp4_needs_ffmpeg(tmp_path, monkeypatch):
    from matplotlib.animation import FFMpegWriter

    movie = animate(oracles.blobs(60, 2, 3), 3, max_frames=4)
    if FFMpegWriter.isAvailable():
        movie.save(tmp_path / "x.mp4")
        assert b"ftyp" in (tmp_path / "x.mp4").read_bytes()[:16]
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda _: False))
    with pytest.raises(RuntimeError, match=r"y\.mp4: writing \.mp4 needs ffmpeg; install it"):
        movie.save(tmp_path / "y.mp4")
    assert not (tmp_path / "y.mp4").exists()


def test_a_writer_of_matplotlibs_own_is_taken(tmp_path):
    movie = animate(oracles.blobs(60, 2, 3), 3, max_frames=4)
    movie.save(tmp_path / "x.gif", writer="pillow", dpi=30)
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.size == (300, 171)


def test_other_formats_are_refused_before_anything_is_drawn(movie, tmp_path, monkeypatch):
    monkeypatch.setattr(type(movie), "_show", lambda *_: pytest.fail("something was drawn"))
    with pytest.raises(ValueError, match=r"must end in one of \.html, \.gif, \.mp4"):
        movie.save(tmp_path / "x.avi")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        movie.save(tmp_path / "nowhere" / "x.gif")


@pytest.mark.parametrize("name", ["init", "assign", "refit"])
def test_frames_look_as_they_did(name, tmp_path):
    """Blurred and small, so that fonts and versions of matplotlib matter little."""
    movie = shown_steps()
    number = {"init": 1, "assign": 4, "refit": 3}[name]
    assert movie.story.frames[number].kind == name
    with movie._arranged(titled=False):
        movie._show(number)
        movie._figure.savefig(tmp_path / "x.png", dpi=40)
    with Image.open(tmp_path / "x.png") as found, Image.open(REFERENCES / f"{name}.png") as kept:
        small = [np.asarray(one.convert("RGB").resize((60, 34)), float) for one in (found, kept)]
    difference = np.abs(small[0] - small[1])
    assert difference.mean() < 6, f"compare with {REFERENCES / name}.png"
    assert np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1] > 0.9


def test_examples_are_always_the_same():
    for name in EXAMPLES:
        x = load_example(name)
        assert x.ndim == 2
        np.testing.assert_array_equal(x, load_example(name))
    assert load_example("line").shape[1] == 1
    with pytest.raises(ValueError, match="example='square' is not known; use one of 'blobs'"):
        load_example("square")


def test_the_command_writes_what_the_name_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savetxt("x.csv", oracles.blobs(40, 2, 2), delimiter=",")
    np.save("init.npy", np.array([[0.0, 0], [1, 1]]))
    for command in (
        "x.csv -k 2 --init init.npy --max-frames 4 -o a.html",
        "--example line -k 3 --loss l1 --seed 4 --max-frames 4 -o a.gif",
        "--example iris -k 3 --max-iter 1 -o a.png",
    ):
        assert main(["animate", *command.split()]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "animation written to a.html",
        "animation written to a.gif",
        "picture written to a.png",
    ]
    assert Path("a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    for kind in ("gif", "png"):
        with Image.open(f"a.{kind}") as picture:
            assert picture.format == kind.upper()


def test_options_reach_the_story(tmp_path, monkeypatch):
    told = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kmgpu.plotting.steps.tell", lambda x, k, **how: told.update(how, k=k, x=x))
    monkeypatch.setattr("kmgpu.plotting.animation.StepsAnimation", lambda _: FakeMovie())
    command = "animate --example moons -k 4 --loss l1 --init random --seed 5 --max-iter 6"
    assert main([*command.split(), "--max-frames", "20", "-o", "a.gif"]) == 0
    np.testing.assert_array_equal(told.pop("x"), load_example("moons"))
    assert told == {
        "k": 4,
        "loss": "l1",
        "init": "random",
        "random_state": 5,
        "max_iter": 6,
        "most": 17,
    }


class FakeMovie:
    def save(self, filename):
        Path(filename).touch()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("-k 2 -o a.html", "give either DATA or --example (blobs,"),
        ("x.npy --example blobs -k 2 -o a.html", "give either DATA or --example"),
        ("--example spiral -k 2 -o a.html", "--example: invalid choice: 'spiral'"),
        ("--example blobs -o a.html", "required: -k/--n-clusters"),
        ("--example blobs -k 2", "required: -o/--out"),
        ("--example blobs -k 2 -o a.avi", "must end in one of .html, .gif, .mp4, .png"),
        ("--example blobs -k 2 -o no/a.html", "no/a.html cannot be written: there is no folder"),
        ("x.npy -k 2 -o x.npy", "must end in one of"),
        ("--example blobs -k 2 --init best -o a.html", "--init best is neither one of"),
        ("--example blobs -k 2 --max-frames 3 -o a.html", "max_frames=3 must be at least 4"),
        ("--example blobs -k 401 -o a.png", "n_samples=400 should be >= n_clusters=401"),
        ("--example blobs -k 2 --seed -1 -o a.png", "random_state=-1 must be at least 0"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, command, said):
    monkeypatch.chdir(tmp_path)
    assert main(["animate", *command.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith("kmgpu: error: ")
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_without_matplotlib_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(f"animate --example blobs -k 2 -o {tmp_path / 'a.html'}".split()) == 2
    assert "pip install 'kmgpu[plot]'" in capsys.readouterr().err
    assert kmgpu.__version__
