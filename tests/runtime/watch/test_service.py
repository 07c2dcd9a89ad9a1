"""What the service manager is told."""

import os
import socket
from pathlib import Path

import pytest

from onlygood.runtime.watch.service import Service


@pytest.mark.parametrize("abstract", [False, True])
def test_states_arrive_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = f"@onlygood-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        service = Service()
        service.tell("READY=1", "STATUS=waiting")
        assert manager.recv(100) == b"READY=1\nSTATUS=waiting"
        assert "NOTIFY_SOCKET" not in os.environ  # commands that --exec runs must not speak for the watch


def test_nobody_listening_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    Service().tell("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Service().tell("READY=1")
