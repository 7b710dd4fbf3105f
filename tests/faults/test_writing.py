"""Files that commands write: modes, links, full disks, what killed processes left."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest

from kmgpu import KMeans, files, load_model, save_model
from kmgpu.files import check_writable, replacing
from tests.faults.commands import (
    FIT,
    POSIX,
    cli,
    environment,
    fitted,
    parts,
    shell,
)


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o444])
def test_a_file_keeps_its_mode_and_is_never_open_to_more(folder, monkeypatch, mode):
    path, first = Path("o.npz"), []
    path.touch()
    path.chmod(mode)
    if not os.access(path, os.W_OK):
        pytest.skip("only root may write it")
    real = files._keep_permissions

    def keep(part, old):
        first.append(part.stat().st_mode & 0o777)
        real(part, old)

    monkeypatch.setattr(files, "_keep_permissions", keep)
    before = os.umask(0)
    try:
        with replacing(path) as file:
            assert os.fstat(file.fileno()).st_mode & 0o777 == mode
            file.write(b"new")
    finally:
        os.umask(before)
    assert first == [0o600]
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode


@POSIX
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_mode_of_the_umask(folder, mask):
    before = os.umask(mask)
    try:
        with replacing("o.npz"):
            pass
    finally:
        os.umask(before)
    assert Path("o.npz").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives away")
def test_the_owner_of_a_file_stays(folder):
    Path("o.npz").touch()
    os.chown("o.npz", 4321, 8765)
    assert cli(FIT) == 0
    found = Path("o.npz").stat()
    assert (found.st_uid, found.st_gid) == (4321, 8765)


@POSIX
def test_links_are_followed_and_other_names_keep_the_old_content(folder):
    Path("far").mkdir()
    Path("o.npz").symlink_to("far/real.npz")
    Path("other.npy").write_bytes(b"old")
    os.link("other.npy", "l.npy")
    assert cli(FIT) == 0
    assert fitted()
    assert Path("o.npz").is_symlink()
    assert not Path("far/real.npz").is_symlink()
    assert Path("other.npy").read_bytes() == b"old"
    assert parts(folder) == parts(folder / "far") == set()


def loop():
    Path("o.npz").symlink_to("p.npz")
    Path("p.npz").symlink_to("o.npz")


@POSIX
@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        (lambda: Path("o.npz").mkdir(), "o.npz", "it is a folder"),
        (lambda: os.mkfifo("o.npz"), "o.npz", "it is not a regular file"),
        (lambda: Path("o.npz").symlink_to("/dev/null"), "o.npz", "it is not a regular file"),
        (lambda: Path("o.npz").symlink_to("no/o.npz"), "o.npz", "there is no folder"),
        (loop, "o.npz", os.strerror(errno.ELOOP)),
        (lambda: None, "no/o.npz", "there is no folder"),
        (lambda: None, "x.npy/o.npz", "there is no folder"),
        (lambda: None, f"{'o' * 300}.npz", f"{os.strerror(errno.ENAMETOOLONG)} in"),
    ],
)
def test_a_target_that_cannot_be_one(folder, capsys, monkeypatch, make, name, said):
    make()
    monkeypatch.setattr(KMeans, "fit", lambda *_, **__: pytest.fail("the work was done"))
    assert cli(f"fit x.npy -k 3 --out {name}") == 2
    err = capsys.readouterr().err
    assert err.startswith(f"kmgpu: error: {name} cannot be written: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "number", ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "EIO", "EFBIG"]
)
@pytest.mark.parametrize("where", ["open", "fsync", "write"])
def test_an_error_names_the_file_and_the_reason(folder, monkeypatch, number, where):
    code = getattr(errno, number)
    failure = OSError(code, os.strerror(code))
    Path("o.npz").write_bytes(b"old")
    real = os.open

    def opened(name, flags, *rest, **options):
        if flags & os.O_CREAT:
            raise failure
        return real(name, flags, *rest, **options)

    def failing(*_, **__):
        raise failure

    if where == "write":
        monkeypatch.setattr(np, "savez", failing)
    else:
        monkeypatch.setattr(os, where, {"open": opened, "fsync": failing}[where])
    with pytest.raises(type(failure)) as caught:
        save_model(load_model("m.npz"), "o.npz")
    monkeypatch.undo()
    assert str(caught.value).startswith(f"o.npz cannot be written: {os.strerror(code)}")
    assert caught.value.errno == code
    assert (folder / "o.npz").read_bytes() == b"old"
    assert parts(folder) == set()


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("limit", [0, 1000])
@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("fit x.npy -k 3 --out o.npz", "o.npz"),
        ("fit x.npy -k 3 --labels l.npy", "l.npy"),
        ("predict m.npz x.npy --out l.npy", "l.npy"),
        ("quantize big.png -k 3 -o o.png", "o.png"),
        ("quantize ö.png -k 20 -o o.png --palette pal.png", "pal.png"),
        ("animate x.npy -k 2 --max-iter 1 -o o.png", "o.png"),
    ],
)
def test_files_that_grow_too_large(folder, capsys, command, name, limit):
    """As on a full disk, writing ends in the middle."""
    import resource

    from PIL import Image

    if command.startswith("predict") or "labels" in command:
        limit = min(limit, 300)
    if name == "pal.png":
        limit = 450
    Image.effect_noise((99, 99), 99).save("big.png")
    assert cli(command) == 0  # kernels are compiled and cached
    Path(name).unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    capsys.readouterr()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        code = cli(command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr()
    assert code == 2, said
    assert said.out == ""
    assert said.err.startswith(f"kmgpu: error: {name} cannot be written: File too large in ")
    assert "ulimit -f" in said.err
    assert not Path(name).exists()
    assert parts(folder) == set()


def test_an_animation_whose_temporary_files_find_no_room(folder, capsys, monkeypatch):
    from kmgpu.plotting.animation import Animation

    def fail(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Animation, "to_html", fail)
    assert cli("animate x.npy -k 2 -o o.html") == 2
    said = f"o.html cannot be written: {os.strerror(errno.ENOSPC)} in {gettempdir()} (TMPDIR); "
    assert said in capsys.readouterr().err


@POSIX
@pytest.mark.parametrize(
    ("body", "said"),
    [("echo no such codec >&2; cat >/dev/null; exit 3", "no such codec"), ("", "")],
)
def test_an_ffmpeg_that_fails(folder, capsys, monkeypatch, body, said):
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncase "$*" in *version*) exit 0;; esac\n{body}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    (folder / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    assert cli("animate x.npy -k 2 --max-iter 1 -o o.mp4") == 2
    assert f"kmgpu: error: o.mp4: ffmpeg failed ({said}" in capsys.readouterr().err
    assert list((folder / "tmp").iterdir()) == []
    assert not Path("o.mp4").exists()


ABANDONED = ".kmgpu-abcdef012345.part"


@POSIX
@pytest.mark.parametrize("name", [ABANDONED, ".kmgpu-old.part"])
def test_what_a_killed_process_left_is_removed(folder, name):
    (folder / name).write_bytes(b"half")
    (folder / "kmgpu-mine.part").write_bytes(b"not one of these")
    assert cli(FIT) == 0
    assert parts(folder) == set()
    assert (folder / "kmgpu-mine.part").exists()


HOLDS = """
import sys
from kmgpu.files import replacing
with replacing("held.npz") as file:
    file.write(b"first half")
    print("begun", flush=True)
    sys.stdin.readline()
    file.write(b", second half")
"""


@POSIX
def test_what_another_process_or_thread_is_writing_stays(folder):
    command = [sys.executable, "-c", HOLDS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment(), **pipes) as process:
        assert process.stdout.readline() == "begun\n"
        with replacing("mine.npz") as mine:
            mine.write(b"mine")
            assert len(parts(folder)) == 2
            thread = threading.Thread(target=check_writable, args=("third.npz",))
            thread.start()
            thread.join()
            check_writable("held.npz")
            assert len(parts(folder)) == 2
        process.communicate("go on\n", timeout=60)
    assert process.returncode == 0
    assert Path("held.npz").read_bytes() == b"first half, second half"
    assert Path("mine.npz").read_bytes() == b"mine"


@POSIX
def test_a_part_that_is_taken_for_abandoned_at_once_is_begun_anew(folder, monkeypatch):
    """Between its making and its lock another process may remove it."""
    real, tries = files._taken, []

    def late(file):
        if not tries:
            Path(file.name).unlink()
        tries.append(file.name)
        return real(file)

    monkeypatch.setattr(files, "_taken", late)
    with replacing("o.npz") as file:
        file.write(b"new")
    assert len(set(tries)) == 2
    assert Path("o.npz").read_bytes() == b"new"


@POSIX
def test_locks_of_whole_processes_protect_threads_too(folder, monkeypatch):
    """As network file systems have them: within a process every lock is granted."""
    monkeypatch.setattr(files, "flock", lambda *_: None)
    with replacing("o.npz") as file:
        file.write(b"new")
        check_writable("other.npz")
    assert Path("o.npz").read_bytes() == b"new"


@POSIX
def test_a_file_system_without_locks(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files, "flock", refuse)
    (folder / ABANDONED).touch()
    assert cli(FIT) == 0
    assert fitted()
    assert parts(folder) == {ABANDONED}


def needs_mounts():
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("needs to mount")


@pytest.mark.slow
@POSIX
def test_a_real_disk_that_is_full_or_read_only(folder):
    needs_mounts()
    script = """
    mkdir disk
    mount -t tmpfs -o size=8k none disk || exit 11
    echo old >disk/o.npz; chmod 640 disk/o.npz
    $kmgpu fit x.npy -k 3 --out disk/o.npz 2>&1 && exit 12
    test "$(cat disk/o.npz)" = old || exit 13
    head -c 8k /dev/zero >disk/full 2>/dev/null
    $kmgpu fit x.npy -k 3 --labels disk/l.npy 2>&1 && exit 14
    mount -o remount,ro disk
    $kmgpu fit x.npy -k 3 --out disk/o.npz 2>&1 && exit 15
    $kmgpu fit x.npy -k 3 --out disk/new.npz 2>&1 && exit 16
    ls -A disk
    """
    quoted = f"unshare -m bash -c {shlex.quote(script)}"
    done = shell(f"export kmgpu; {quoted}", folder)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    reasons = ["No space left on device"] * 2 + ["Read-only file system"] * 2
    names = ["o.npz", "l.npy", "o.npz", "new.npz"]
    for line, name, reason in zip(lines, names, reasons, strict=False):
        said = f"kmgpu: error: disk/{name} cannot be written: {reason} in {folder}/disk; "
        assert line.startswith(said), lines
    assert lines[4:] == ["full", "o.npz"]


@pytest.mark.slow
@POSIX
def test_real_permissions(folder):
    """Root without its capabilities, as permissions do not bind it otherwise."""
    plain = "setpriv --bounding-set=-all --inh-caps=-all "
    if subprocess.run(["sh", "-c", f"{plain}true"], capture_output=True).returncode:
        if os.access("/", os.W_OK):
            pytest.skip("needs setpriv, or another user than root")
        plain = ""
    script = f"""
    mkdir closed; touch closed/o.npz o.npz
    chmod 444 o.npz; chmod 555 closed
    {plain} $kmgpu fit x.npy -k 3 --out o.npz 2>&1
    {plain} $kmgpu fit x.npy -k 3 --out closed/o.npz 2>&1
    {plain} $kmgpu fit x.npy -k 3 --labels closed/l.npy 2>&1
    chmod 755 closed
    """
    lines = shell(script, folder).stdout.splitlines()
    assert "o.npz cannot be written: the file is write-protected; give another name." in lines[0]
    assert f"closed/o.npz cannot be written: Permission denied in {folder}/closed; " in lines[1]
    assert f"closed/l.npy cannot be written: Permission denied in {folder}/closed; " in lines[2]
    assert Path("o.npz").stat().st_size == Path("closed/o.npz").stat().st_size == 0
