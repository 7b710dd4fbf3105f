"""ELKI's KMediansLloyd, in one Java process for all fits, so that Java's compiler warms up."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

PROGRAM = Path(__file__).parent / "java" / "KMediansFit.java"
JARS = ("elki.jar", "trove4j.jar")
JAR_FOLDERS = ("/usr/share/java", "/usr/local/share/java")


def missing() -> str | None:
    """What keeps ELKI from running here, or None."""
    if shutil.which("java") is None:
        return "no java on the PATH"
    if _class_path() is None:
        return "no elki.jar and trove4j.jar (Debian package elki, or name them in ELKI_CLASSPATH)"
    return None


def _class_path() -> str | None:
    if "ELKI_CLASSPATH" in os.environ:
        return os.environ["ELKI_CLASSPATH"]
    for folder in map(Path, JAR_FOLDERS):
        if all((folder / jar).exists() for jar in JARS):
            return os.pathsep.join(str(folder / jar) for jar in JARS)
    return None


class KMediansLloyd:
    """One data set and its initial centres, loaded into Java once."""

    def __init__(self, x: np.ndarray, init: np.ndarray) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kmgpu-elki-")
        files = []
        for name, values in (("x", x), ("init", init)):
            files.append(str(Path(self._folder.name) / name))
            values.astype(">f8").tofile(files[-1])
        command = ["java", "-cp", str(_class_path()), str(PROGRAM)]
        command += [files[0], *map(str, x.shape), files[1], str(len(init))]
        self._java = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fit(self, n_iter: int) -> tuple[float, np.ndarray]:
        """Seconds inside Java, and the centres."""
        assert self._java.stdin is not None
        assert self._java.stdout is not None
        self._java.stdin.write(f"{n_iter}\n")
        self._java.stdin.flush()
        lines = []
        while (line := self._java.stdout.readline()) != "end\n":
            if not line:
                msg = f"ELKI ended with code {self._java.wait()}"
                raise RuntimeError(msg)
            lines.append(line)
        self._folder.cleanup()
        return float(lines[0]), np.array([line.split() for line in lines[1:]], dtype=np.float64)
