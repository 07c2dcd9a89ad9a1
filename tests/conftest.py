"""What all tests share: few threads, and no clock."""

import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

pytest_plugins = ["hand_made"]

settings.register_profile("busy", deadline=None)  # machines are shared: slow is no failure
settings.load_profile("busy")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Many threads on tiny tensors only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture(autouse=True, scope="session")
def _interrupts_are_heard() -> None:
    """A shell's background jobs ignore them, and so would our children."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
