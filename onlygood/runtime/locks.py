"""One writer at a time: a file lock that the system releases when the process ends, however it ends."""

import os
import sys
from pathlib import Path
from typing import IO

from onlygood.runtime.errors import OnlygoodError


def lock(file: IO[bytes], name: str) -> None:
    """Lock ``file`` for this process until the file is closed; ``name`` stands for it in messages.

    Raises:
        OnlygoodError: another process holds the lock, or the file system has no locks.
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
        """Lock a byte far beyond the end of the file: on Windows a lock keeps readers out too."""
        file.seek(2**40)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        """Lock the open file, not the process: closing another handle of it does not release the lock."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(file: IO[bytes]) -> str:
    """`` (process 123)`` if Linux tells which process holds the lock, else ""."""
    inode = str(os.fstat(file.fileno()).st_ino)
    try:
        table = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    except OSError:
        return ""
    holders = {row[4] for row in table if row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode}
    holders = {pid for pid in holders if int(pid) > 0}  # 0 or less: a process outside this container
    return f" (process {holders.pop()})" if len(holders) == 1 else ""
