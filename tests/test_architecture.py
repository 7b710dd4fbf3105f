"""ARCHITECTURE.md names files and functions that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:kmgpu|tests|benchmarks)/[\w/.]*|\w+\.(?:py|toml|md))`", TEXT)))
# `name` … `path`, and the other way round, on one line
SAID = re.findall(r"^\d+\. `([\w/.]+)`: `(\w+)`", TEXT, re.MULTILINE)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_named_exists(path):
    assert (ROOT / path).exists()


def test_many_are_named():
    assert len(PATHS) > 30
    assert len(SAID) >= 7


@pytest.mark.parametrize(("path", "name"), SAID)
def test_the_way_of_a_fit_names_functions_of_its_files(path, name):
    assert re.search(rf"\b(def|class) {name}\b", (ROOT / path).read_text(encoding="utf-8"))


def test_every_file_and_folder_of_the_package_has_its_line():
    rooms = {
        path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
        for path in (ROOT / "kmgpu").iterdir()
        if path.name[:2] != "__"
    }
    assert sorted(rooms - set(PATHS)) == []
