"""A file is the old one or the new one, whatever happens on the way, and nothing is left beside it."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from onlygood.runtime.atomic import replacing, write_atomically
from onlygood.runtime.errors import OnlygoodError


def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for data in (b"one", b"two"):
        write_atomically(path, data)
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [data]


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_a_full_disk_is_told_with_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OnlygoodError, match=r"a\.bin: cannot write: No space left on device"):
        write_atomically(path, b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, pathlib, signal\n"
        "from onlygood.runtime.atomic import replacing\n"
        f"with replacing(pathlib.Path({str(path)!r})) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    other = tmp_path / f".a.bin.{os.getppid()}.7.tmp"  # of a process that is still at work
    other.touch()
    write_atomically(path, b"new")  # and the litter of the killed one is gone
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_threads_may_write_the_same_file(tmp_path: Path) -> None:
    path, both = tmp_path / "a.bin", Barrier(2, timeout=60)

    def write(data: bytes) -> None:
        with replacing(path) as temporary:
            both.wait()
            temporary.write_bytes(data)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [b"one", b"two"]))
    assert path.read_bytes() in (b"one", b"two")
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_protected_copy_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with replacing(path) as temporary:
        temporary.write_bytes(b"data")
        temporary.chmod(0o444)
    assert path.read_bytes() == b"data"


def test_names_near_the_limit_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    write_atomically(path, b"data")
    assert path.read_bytes() == b"data"
