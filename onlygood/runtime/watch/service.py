"""What systemd is told of a watch: that it is ready, that it is alive, how it stands (sd_notify)."""

import os
import socket
from contextlib import suppress


class Service:
    """Sends states to the service manager that started this process; does nothing where there is none."""

    def __init__(self) -> None:
        name = os.environ.pop("NOTIFY_SOCKET", "")  # not for commands that we run
        self._address = "\0" + name[1:] if name.startswith("@") else name

    def tell(self, *states: str) -> None:
        """Send states such as ``READY=1``; whoever does not listen misses them."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto("\n".join(states).encode(), self._address)
