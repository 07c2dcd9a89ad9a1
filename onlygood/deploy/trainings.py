"""Commands of onlygood in processes of their own: so that none takes the others with it, here or on Ray."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from onlygood.deploy.cluster import connected
from onlygood.runtime.errors import OnlygoodError

_STOPPED = 130


class Trainings(Protocol):
    """Runs commands, from several threads."""

    def run(self, words: list[str], log: Path) -> int:
        """Run ``onlygood WORDS`` and wait for it; what it says goes to ``log``. Returns its exit code."""

    def end(self) -> None:
        """End those that run, and begin no more."""


class Here:
    """As children of this process, which hold on to the open file ``held``, and so to its lock."""

    def __init__(self, held: int) -> None:
        self._inherited = (held,) if os.name == "posix" else ()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock, self._over = Lock(), False

    def run(self, words: list[str], log: Path) -> int:
        """As of `Trainings`."""
        command = [sys.executable, "-m", "onlygood", *words]
        with log.open("wb") as out:
            with self._lock:
                if self._over:
                    return _STOPPED
                child = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    pass_fds=self._inherited,
                )
                self._running.add(child)
            try:
                return child.wait()
            finally:
                self._running.discard(child)

    def end(self) -> None:
        """As of `Trainings`."""
        with self._lock:
            self._over = True
        for child in list(self._running):
            with suppress(OSError):
                child.terminate()


class OnRay:
    """As tasks of Ray with ``cpus`` each, in folders that all machines share."""

    def __init__(self, ray: Any, cpus: int) -> None:
        self._ray, self._over = ray, False
        self._task = ray.remote(num_cpus=cpus, max_calls=1, max_retries=1)(_invoked)
        self._running: set[Any] = set()

    def run(self, words: list[str], log: Path) -> int:
        """As of `Trainings`."""
        if self._over:
            return _STOPPED
        task = self._task.remote(words, str(log.resolve()), str(Path.cwd()))
        self._running.add(task)
        try:
            code: int = self._ray.get(task)
        except self._ray.exceptions.TaskCancelledError:
            return _STOPPED
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, OSError):
                raise OnlygoodError(f"a worker of Ray: {error.cause}") from None
            raise
        except self._ray.exceptions.RayError as error:
            raise OnlygoodError(
                f"the worker of Ray died: {str(error).strip().splitlines()[0][:300]}"
            ) from None
        finally:
            self._running.discard(task)
        return code

    def end(self) -> None:
        """As of `Trainings`."""
        self._over = True
        for task in list(self._running):
            self._ray.cancel(task, force=True)


def _invoked(words: list[str], log: str, folder: str) -> int:
    """The exit code of a command in this process, which ends with it."""
    os.chdir(folder)
    with Path(log).open("wb") as out:
        for number in (1, 2):
            os.dup2(out.fileno(), number)
    from onlygood.deploy.cli import invoke  # noqa: PLC0415 - it knows this module's users

    return invoke(words)


@contextmanager
def on_ray(address: str | None, jobs: int | None, cpus: int) -> Iterator[tuple[OnRay, int]]:
    """Trainings on Ray, and how many there may be at once.

    Raises:
        OnlygoodError: there is no such Ray.
    """
    with connected(address, None if jobs is None else jobs * cpus) as ray:
        at_once = jobs or max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus)
        yield OnRay(ray, cpus), at_once
