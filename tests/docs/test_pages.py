"""README.md and the pages of docs/: every block runs, every file and public name is there."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import kmgpu
from kmgpu import kernels, plotting
from kmgpu.backend.gpus import cupy_usable
from kmgpu.cli import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.rst"))]
RST = re.compile(r"^\.\. code-block:: (\w+)\n((?:   :.*\n)*)\n((?:(?:   .*)?\n)+)", re.MULTILINE)
MARKDOWN = re.compile(r"^```(\w+)()\n(.*?)^```", re.MULTILINE | re.DOTALL)
# what a block for a terminal may name that is not run here
NOT_RUN = ("pip install ", "pytest ")
PUBLIC_MODULES = ("demo", "info", "quantize", "summary")


def blocks(page):
    """Language, options and text of every block."""
    found = (RST if page.suffix == ".rst" else MARKDOWN).findall(page.read_text(encoding="utf-8"))
    return [(language, options, dedent(text)) for language, options, text in found]


def run_command(line):
    assert line.startswith("$ "), line
    command = line.removeprefix("$ ")
    if command.startswith("kmgpu "):
        assert main(shlex.split(command)[1:]) == 0
    else:
        assert command.startswith(NOT_RUN), command


def label(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=label)
def test_the_blocks_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for language, options, text in blocks(page):
        if "gpu" in options and not cupy_usable().yes:
            compile(text, label(page), "exec")
        elif language == "docker":
            assert [line.split()[0] for line in text.split("\n") if line] == ["ENV", "RUN"]
        elif language == "python":
            exec(compile(text, label(page), "exec"), names)
        else:
            assert language == "console"
            for line in text.strip().splitlines():
                run_command(line)


def test_blocks_are_found():
    found = [block for page in PAGES for block in blocks(page)]
    assert len(found) > 40
    written = sum(page.read_text(encoding="utf-8").count("code-block::") for page in PAGES)
    assert len(found) == written + len(blocks(PAGES[0]))


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_files_that_a_page_links_exist(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)|^\.\. image:: (\S+)", text, re.MULTILINE)
    for link in filter(None, map("".join, links)):
        drawn = "_pictures/" in link  # while the site is built
        assert drawn or (page.parent / link).exists(), link


def test_every_public_name_is_in_the_reference():
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    for names in (kmgpu.__all__, plotting.__all__, kernels.__all__):
        for name in names:
            assert re.search(rf"^\.\. [\w:]+:: ([\w.]+\.)?{name}$", text, re.MULTILINE), name


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_the_names_of_public_modules_are_in_the_reference(name):
    module = importlib.import_module(f"kmgpu.{name}")
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    for public in module.__all__:
        assert getattr(module, public).__doc__
        assert re.search(rf"^\.\. [\w:]+:: (kmgpu\.{name}\.)?{public}$", text, re.MULTILINE), public


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there">1</a><a href="#here">2</a><a href="https://x.y">3</a>'
        '<a href="b.html#gone">4</a><a href="c.html">5</a><img src="d.png">'
    )
    (tmp_path / "b.html").write_text('<p id="there">')
    command = [sys.executable, DOCS / "links.py", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout.splitlines() == [f"a.html: {to}" for to in ("b.html#gone", "c.html", "d.png")]
    assert run.returncode == 1
