"""The command line, called in this process."""

from __future__ import annotations

from kmgpu.cli import main


def cli(command: str) -> int:
    """The exit code of a command, whose words have no blanks in them."""
    return main(command.split())


def refused(command: str, capsys, said: str) -> None:
    """The command is refused by one line that says so, and prints nothing else."""
    capsys.readouterr()
    assert cli(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kmgpu: error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
