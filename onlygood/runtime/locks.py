"""One writer at a time: a lock that the system takes back when the process ends, however it ends."""

import os
import sys
from pathlib import Path
from typing import IO

from onlygood.runtime.errors import OnlygoodError


def lock(file: IO[bytes], name: str) -> None:
    """Keep ``file`` for this process until it is closed; ``name`` is what people call it.

    Raises:
        OnlygoodError: another process holds it, or the file system knows no locks.
    """
    try:
        _lock(file)
    except (BlockingIOError, PermissionError):
        raise OnlygoodError(
            f"{name} is being written by another run{_holder(file)}: wait for it, or give another -o"
        ) from None
    except OSError as error:
        raise OnlygoodError(
            f"{name} cannot be locked ({error.strerror}), so that two runs could mix their rows: "
            "--resume needs a file system with locks, such as a local disk"
        ) from None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        """Lock a byte far behind the end: locks of Windows keep readers out too."""
        file.seek(2**40)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        """Lock the open file, not the process: closing another handle of it lets nothing go."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(file: IO[bytes]) -> str:
    """`` (process 123)`` where Linux says whose lock it is."""
    inode = str(os.fstat(file.fileno()).st_ino)
    try:
        table = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    except OSError:
        return ""
    holders = {row[4] for row in table if row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode}
    holders = {pid for pid in holders if int(pid) > 0}  # others are not of this container
    return f" (process {holders.pop()})" if len(holders) == 1 else ""
