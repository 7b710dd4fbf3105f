"""The state of a fit in a file, so that a fit that was killed can go on."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from kmgpu.algorithm.lloyd import HalfStep, Pause
from kmgpu.algorithm.plan import HistoryEntry, Restart, State
from kmgpu.backend.arrays import to_host
from kmgpu.files import PathLike, check_writable, replacing
from kmgpu.version import __version__

FORMAT = 1
OF_A_STEP = ("kind", "iteration", "loss", "shift", "n_changed", "n_relocated", "stop")


class CheckpointFile:
    """The checkpoint of one fit; see `kmgpu.algorithm.plan.Checkpoint`.

    An .npz file: centres as arrays, all else as JSON. It is replaced as a whole, so that a process
    that is killed leaves the file of before. Nothing in it is executed when it is read.

    Parameters
    ----------
    path : str or path-like
    parameters : dict
        Of the fit: text, numbers and None. A fit goes on from a file of equal ones only.
    """

    def __init__(self, path: PathLike, parameters: dict[str, Any]) -> None:
        self._path = Path(path)
        self._parameters = {"kmgpu": __version__, **parameters}

    def load(self, facts: dict[str, Any]) -> State | None:
        check_writable(self._path)
        if not self._path.exists():
            return None
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as members:
                arrays = {name: members[name] for name in members.files}
            document = json.loads(arrays.pop("document").tobytes(), object_hook=_array)
            saved = {"format": document["format"], **document["parameters"], **document["data"]}
            state = _state(document, arrays)
        except (BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError) as error:
            msg = (
                f"checkpoint={str(self._path)!r} is damaged, or no checkpoint of kmgpu ({error}); "
                f"remove it to start afresh, or give another path."
            )
            raise ValueError(msg) from error
        self._check_same(saved, {"format": FORMAT, **self._parameters, **facts})
        return state

    def save(self, facts: dict[str, Any], state: State) -> None:
        document: dict[str, Any] = {
            "format": FORMAT,
            "parameters": self._parameters,
            "data": facts,
            "n_ended": state.n_ended,
            "history": state.history,
            "random": state.random,
        }
        arrays: dict[str, Any] = {}
        if state.pause is not None:
            document["iteration"] = state.pause.iteration
            arrays = {"previous": state.pause.previous, "centers": state.pause.centers}
        if state.best is not None:
            last = state.best.last
            document["best"] = {name: getattr(last, name) for name in OF_A_STEP}
            document["best_loss"] = state.best.loss
            document["best_history"] = state.best.history
            arrays |= {"best_centers": to_host(last.centers), "best_weights": state.best.weights}
        text = json.dumps(document, default=_described).encode()
        with replacing(self._path) as file:
            np.savez(file, document=np.frombuffer(text, np.uint8), **arrays)

    def clear(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _check_same(self, saved: dict[str, Any], own: dict[str, Any]) -> None:
        """Raise ValueError where the file is of another fit."""
        for name in dict.fromkeys((*own, *saved)):
            if saved.get(name) != own.get(name):
                what = f"{name}={saved.get(name)!r}, and this one has {name}={own.get(name)!r}"
                if name in ("rows", "weights"):
                    what = f"other {name.replace('rows', 'data')} than this one"
                msg = (
                    f"checkpoint={str(self._path)!r} is of a fit with {what}; remove the file to "
                    f"start afresh, give another path, or fit with what it was begun with."
                )
                raise ValueError(msg)


def _state(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> State:
    best = pause = None
    if "iteration" in document:
        pause = Pause(int(document["iteration"]), arrays["previous"], arrays["centers"])
    if "best" in document:
        last = HalfStep(centers=arrays["best_centers"], **document["best"])
        history = tuple(HistoryEntry(*entry) for entry in document["best_history"])
        best = Restart(last, history, document["best_loss"], arrays["best_weights"])
    done = [HistoryEntry(*entry) for entry in document["history"]]
    return State(best, int(document["n_ended"]), pause, done, document["random"])


def _described(value: Any) -> Any:
    """Arrays and numbers of NumPy, for JSON: some random generators keep their state in them."""
    if isinstance(value, np.ndarray):
        return {"values": value.tolist(), "dtype": str(value.dtype)}
    return value.item()


def _array(found: dict[str, Any]) -> Any:
    if found.keys() == {"values", "dtype"}:
        return np.array(found["values"], found["dtype"])
    return found
