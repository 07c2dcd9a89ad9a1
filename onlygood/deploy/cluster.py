"""A connection to Ray: to a cluster, or to one of this machine alone, which sends nothing home."""

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.threads import available_cpus

_ANSWER = 10  # seconds that a cluster has to answer
_STARTS = 3  # of a Ray of this machine, which gives itself 30 seconds for each: a busy machine needs more


@contextmanager
def connected(address: str | None, cpus: int | None = None) -> Iterator[Any]:
    """The package ``ray``, connected to the cluster at ``address``, or to one of this machine that ends here.

    Without an address, RAY_ADDRESS is asked. A cluster of this machine has ``cpus``, no dashboard, sends
    nothing home, and takes nobody's word but that of who knows a secret of this run.

    Raises:
        OnlygoodError: ray is not installed, or there is no such cluster.
    """
    # Read when ray is imported, and by the processes that it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each worker compiles all that it imports
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    here = address == "local"
    if here and "ray" not in sys.modules:
        os.environ.setdefault("RAY_worker_niceness", "0")  # with 15 they wait for all
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else one is written at home
    try:
        import ray  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise OnlygoodError(
            f"--engine ray needs the package {error.name!r}: pip install 'onlygood[ray]'"
        ) from None
    if ray.is_initialized():  # by a notebook, whose cluster it is
        yield ray
        return
    _reachable(address)
    heard = signal.getsignal(signal.SIGTERM)
    local: dict[str, Any] = {"num_cpus": cpus or available_cpus(), "include_dashboard": False}
    starts = _STARTS if here else 1
    try:
        for left in reversed(range(starts)):
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(local if here else {}))
                break
            except Exception as error:  # what Ray raises here shares no base
                ray.shutdown()
                reason = " ".join(str(error).split())[:300]
                if not here:
                    raise _nobody(address, reason) from None
                if not left:
                    raise OnlygoodError(
                        f"Ray did not start on this machine in {starts} tries: {reason} Where it is busy, try"
                        " again, or leave --engine ray out"
                    ) from error
    finally:
        if signal.getsignal(signal.SIGTERM) is not heard:
            signal.signal(signal.SIGTERM, heard)  # Ray's ends the process with 1 at most
    try:
        yield ray
    finally:
        ray.shutdown()


def _reachable(address: str) -> None:
    """Refuse at once an address at which nobody listens, of which Ray finds out after minutes.

    Raises:
        OnlygoodError: nobody does, or it is one of Ray Client.
    """
    if address.startswith("ray://"):
        raise OnlygoodError(
            "--ray-address: ray:// is Ray Client, which was not tried: work on a machine of the cluster, and"
            " give HOST:6379 or auto"
        )
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise _nobody(address, str(error)) from None


def _nobody(address: str, reason: str) -> OnlygoodError:
    return OnlygoodError(
        f"there is no Ray at {address}: {reason}; start one with `ray start --head`, or leave --ray-address"
        " out"
    )
