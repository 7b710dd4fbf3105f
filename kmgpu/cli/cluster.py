"""Fits by workers of Dask: of a cluster that is there, or of processes started for the command."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kmgpu.io.lazy import INSTALL_DASK

PATIENCE = 15.0  # seconds for a scheduler, or its first worker, to be there


def add_cluster(command: argparse.ArgumentParser) -> None:
    """``--cluster`` and ``--workers``."""
    group = command.add_mutually_exclusive_group()
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="by the workers of the Dask scheduler there, such as tcp://host:8786, which must find "
        "DATA (.parquet, a folder of such, zarr) under the same path",
    )
    group.add_argument(
        "--workers",
        metavar="N",
        type=_number,
        help="by N processes of this machine, of one thread each, which share DATA in the same way",
    )


def by_workers(args: argparse.Namespace) -> bool:
    """Whether workers of Dask are asked for."""
    return args.cluster is not None or args.workers is not None


@contextmanager
def workers(args: argparse.Namespace) -> Iterator[None]:
    """While it is open, Dask computes by the workers that are asked for, if any.

    Raises
    ------
    ValueError
        Where no scheduler answers, or it has no workers.
    ImportError
        Where Dask's scheduler is missing; the message names the extra.
    """
    if not by_workers(args):
        yield
        return
    distributed = _distributed()
    if args.workers is not None:
        # errors of tasks come back to the command: nobody needs them twice
        options = {"threads_per_worker": 1, "silence_logs": logging.CRITICAL}
        with (
            distributed.LocalCluster(
                n_workers=args.workers, dashboard_address="127.0.0.1:0", **options
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            client.run(_ignore_interrupts)
            _say(client)
            yield
        return
    with _connected(distributed, args.cluster) as client:
        _say(client)
        yield


def _connected(distributed: Any, address: str) -> Any:
    try:
        client = distributed.Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        msg = (
            f"--cluster {address}: no scheduler of Dask can be reached there ({error}). Start one "
            f"by `dask scheduler`, which prints its address, or use --workers."
        )
        raise ValueError(msg) from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        client.close()
        msg = (
            f"--cluster {address}: the scheduler has no workers; start some by "
            f"`dask worker {address}`."
        )
        raise ValueError(msg) from error
    return client


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which a terminal sends to workers too, to the command, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _say(client: Any) -> None:
    print(f"kmgpu: dashboard at {client.dashboard_link}", file=sys.stderr)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        msg = f"--cluster and --workers need Dask's scheduler ({error}); {INSTALL_DASK}"
        raise ImportError(msg) from error
    return distributed


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = f"{text} must be at least 1"
        raise argparse.ArgumentTypeError(msg)
    return number
