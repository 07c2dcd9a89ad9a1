"""The training and its process: stop signals, global random generators, and the other processes."""

import hashlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from torch import distributed, nn

from onlygood.runtime.errors import Helped, OnlygoodError
from onlygood.runtime.launched import launched

_PATIENCE = timedelta(days=7)  # with the first process, which decodes the images


def mix(*numbers: int) -> int:
    """A 63-bit seed from several numbers; neighbors give unrelated seeds."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that gets the number of the first SIGINT, SIGTERM or SIGHUP; a second one acts as it did before.

    Only the main thread can listen to signals; in other threads the list stays empty.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in [number for number, handler in before.items() if handler is signal.SIG_IGN]:
        del before[number]  # as nohup and a shell's & wish it

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        put_back()

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        put_back()


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Deterministic cuDNN kernels inside; afterwards the global generators and the switch are as before."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        torch.backends.cudnn.deterministic = before


class Processes:
    """This process, number ``rank``, among the ``count`` that train one task together."""

    def __init__(self) -> None:
        """Join the others, on CPUs where there are no accelerators.

        Raises:
            OnlygoodError: others were started, and cannot be joined: each would train alone, into one folder.
        """
        started = launched()
        on_cpus = started > 1 and not torch.accelerator.is_available()
        # Autocast is the trainer's: Accelerate fixes the precision for the life of a process.
        try:
            self._accelerator = Accelerator(cpu=on_cpus, mixed_precision="no")
        except ValueError as error:  # of torch, where nobody said where the first process is
            if started == 1:
                raise
            raise OnlygoodError(
                f"{started} processes were started, and do not find each other: {error}; start them by"
                " accelerate launch or torchrun"
            ) from error
        if self._accelerator.num_processes != started:
            raise OnlygoodError(
                f"{started} processes were started, and each would train alone on this machine: start one, or"
                " start them by accelerate launch or torchrun, or set ACCELERATE_USE_CPU=true"
            )
        self.device: torch.device = self._accelerator.device
        self.rank: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes
        # Decisions travel by CPU, so that no step waits for an accelerator.
        several = self.count > 1
        self._group: Any = distributed.new_group(backend="gloo", timeout=_PATIENCE) if several else None

    @contextmanager
    def first(self) -> Iterator[None]:
        """What is within is done by the first process, and then by the others, who find it done."""
        if self.rank:
            self.any(False)
        yield
        if not self.rank:
            self.any(False)

    def only_the_first(self) -> None:
        """What comes after a training is done by the first process alone.

        Raises:
            Helped: this is another one.
        """
        if self.rank:
            raise Helped

    def largest(self, value: float) -> float:
        """The largest of all processes' values, so that all stop and save at the same step."""
        return self._agreed(value, distributed.ReduceOp.MAX)

    def sum(self, value: float) -> float:
        """The sum of all processes' values."""
        return self._agreed(value, distributed.ReduceOp.SUM)

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process."""
        return self.largest(float(flag)) > 0

    def align(self, model: nn.Module) -> None:
        """Give every process the state of the first, from which another kind of processor might stray."""
        if self.count == 1:
            return
        for value in model.state_dict().values():
            shared = value.contiguous()
            distributed.broadcast(shared, src=0)
            value.copy_(shared)

    def _agreed(self, value: float, how: Any) -> float:
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(shared, how, group=self._group)
        return shared.item()
