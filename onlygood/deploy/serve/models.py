"""The models that are served, and how a changed file takes the place of the old one."""

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from onlygood.deploy.judging import input_spec
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.signed import signature_path
from onlygood.runtime.rows.verdicts import Settings

_Stamp = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Served:
    """One model at work; what is asked of it while another takes its place is answered by it."""

    name: str
    detector: Detector
    settings: Settings
    spec: InputSpec
    loaded: float  # seconds since 1970

    @property
    def threshold(self) -> float:
        """The score above which images are anomalous."""
        return self.settings.threshold


class Models:
    """Models by name, which is that of their file without its ending.

    A file is read anew once it, or its signature, has changed and then stayed the same from one look to the
    next. What cannot be loaded, such as half a file, leaves the old model in place, and is tried again when
    it changes.

    Raises:
        OnlygoodError: two files have one name, or one cannot be loaded.
    """

    def __init__(self, paths: Iterable[Path], load: Callable[[Path, str], Served]) -> None:
        self._load = load
        self._paths: dict[str, Path] = {}
        for path in paths:
            if path.stem in self._paths:
                raise OnlygoodError(
                    f"{display(path)}: {display(self._paths[path.stem])} has the same name, by which requests"
                    " tell models apart: rename one of them"
                )
            self._paths[path.stem] = path
        self._used = {name: _stamp(path) for name, path in self._paths.items()}
        self._seen = dict(self._used)
        self._served = {name: load(path, name) for name, path in self._paths.items()}

    def all(self) -> list[Served]:
        """The models as they are now."""
        return list(self._served.values())

    def find(self, name: str | None) -> Served | None:
        """The model of this name; of a single one, no name is needed."""
        if name is None:
            return next(iter(self._served.values())) if len(self._served) == 1 else None
        return self._served.get(name)

    def refresh(self, *, at_once: bool = False) -> tuple[list[Served], list[str]]:
        """Look at the files, and load those that have changed: the new models, and what went wrong.

        ``at_once`` loads all that differ from what is served, without waiting for a second look.
        """
        fresh, wrong = [], []
        for name, path in self._paths.items():
            now, before = _stamp(path), self._seen[name]
            self._seen[name] = now
            if now is None or now == self._used[name] or (now != before and not at_once):
                continue
            self._used[name] = now
            try:
                self._served[name] = self._load(path, name)
            except OnlygoodError as error:
                wrong.append(f"{name} goes on as it is: {error}")
            else:
                fresh.append(self._served[name])
        return fresh, wrong


def loader(
    *,
    threads: int,
    provider: str,
    rate: float | None,
    bit_depth: int | None,
    any_frame: bool,
    key: str | None = None,
) -> Callable[[Path, str], Served]:
    """A function that loads a file as these options want it."""

    def load(path: Path, name: str) -> Served:
        detector = Detector.load(path, threads=threads, key=key, provider=provider)
        spec = input_spec(detector, bit_depth)
        settings = Settings(detector.file.sha256[:12], detector.threshold(rate), spec.bit_depth, any_frame)
        return Served(name, detector, settings, spec, time.time())

    return load


def _stamp(path: Path) -> _Stamp | None:
    """What changes when the file or its signature does, which may come later; None where there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return None  # between the old file and the new one
    with contextlib.suppress(OSError):
        beside = signature_path(path).stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, beside.st_ino, beside.st_mtime_ns
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
