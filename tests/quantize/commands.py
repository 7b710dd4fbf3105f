"""Run ``kmgpu quantize`` in the current folder, and look at what it wrote."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from kmgpu.cli import main

Image = pytest.importorskip("PIL.Image")


def cli(command):
    return main(shlex.split(command))


def saved(name="out.png"):
    with Image.open(name) as image:
        image.load()
        assert image.format == "PNG"
        return image


def shown(name="out.png", mode="RGB"):
    return np.asarray(saved(name).convert(mode))


def files():
    return sorted(path.name for path in Path.cwd().iterdir())


def assert_refused(capsys, command, said):
    before = files()
    assert cli(command) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith("kmgpu: error: ")
    assert said in err
    assert files() == before
