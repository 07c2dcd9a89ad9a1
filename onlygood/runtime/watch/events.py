"""Events of the file system, where there are any; a look at the whole folder finds the rest."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Events:
    """Calls ``touched`` with each path below ``folder`` that is written or moved to, in a thread of its own.

    Raises:
        OSError: there are no events here, or no more watches (``fs.inotify.max_user_watches``).
    """

    def __init__(self, folder: Path, touched: Callable[[Path], None], *, recursive: bool) -> None:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler  # noqa: PLC0415 - costs 80 ms
        from watchdog.observers import Observer  # noqa: PLC0415

        class Handler(FileSystemEventHandler):
            def dispatch(self, event: FileSystemEvent) -> None:
                if event.event_type in ("created", "modified", "closed", "moved") and not event.is_directory:
                    path = Path(os.fsdecode(event.dest_path or event.src_path))
                    if path.is_relative_to(real):
                        touched(folder / path.relative_to(real))

        real = folder.resolve()
        self._observer: Any = Observer()
        self._observer.schedule(Handler(), str(real), recursive=recursive)
        self._observer.start()

    @property
    def alive(self) -> bool:
        """Whether events still come: not if the folder was removed."""
        return bool(self._observer.is_alive()) and bool(self._observer.emitters)

    def close(self) -> None:
        """Stop."""
        self._observer.stop()
        self._observer.join(2)
