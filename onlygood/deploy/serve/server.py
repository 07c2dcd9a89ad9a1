"""The server around the application: its socket, its signals, and an end at which nothing is lost."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from onlygood.deploy.serve.app import Service
from onlygood.runtime.errors import OnlygoodError

_MOST_CONNECTIONS = 1000
_BACKLOG = 2048
_KEEP_ALIVE = 75  # seconds: longer than proxies keep their side, so that they close first
_TURNS = 5  # of the loop, in which the server gets whom asyncio holds
_LINGER = 2.0  # seconds that open connections have for a last request


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OnlygoodError: there is no such address, or the port is taken.
    """
    try:
        kind, _, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sends without delay (TCP_NODELAY) only where the socket says that it speaks TCP, which those
        # of socket.create_server do not: answers would wait 40 ms for a client's acknowledgement.
        listener = socket.socket(kind, socket.SOCK_STREAM, protocol or socket.IPPROTO_TCP)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise OnlygoodError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --port or --host"
        ) from None
    return listener


def address(listener: socket.socket) -> str:
    """The URL of a socket that listens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Lifespan:
    """What goes on beside the requests: a look at the model files so often, and on SIGHUP."""

    def __init__(self, service: Service, every: float) -> None:
        self._service, self._every = service, every

    @contextlib.asynccontextmanager
    async def __call__(self, _: FastAPI) -> AsyncIterator[None]:
        """Begin to look, and end with the threads that score."""
        loop, hangup = asyncio.get_running_loop(), asyncio.Event()
        with contextlib.suppress(ValueError, RuntimeError, AttributeError, NotImplementedError):
            loop.add_signal_handler(signal.SIGHUP, hangup.set)  # not outside the main thread, nor on Windows
        looking = asyncio.create_task(self._look(hangup))
        try:
            yield
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
            await asyncio.to_thread(self._service.desk.close)

    async def _look(self, hangup: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hangup.wait(), self._every)
            at_once = hangup.is_set()
            hangup.clear()
            try:
                await asyncio.to_thread(self._service.refresh, at_once=at_once)
            except Exception as error:  # the next look may fare better, and requests go on
                self._service.log.fault(error)


class Server(uvicorn.Server):
    """uvicorn, which stops without losing a request.

    First `/readyz` says so and answers close their connections, while all is served as before, for ``drain``
    seconds in which balancers look elsewhere. Then nothing new is let in, connections that are open have a
    moment for what they are sending, and what was taken is answered. A second signal ends it at once.
    """

    def __init__(self, app: ASGIApp, service: Service, *, drain: float, seconds: float) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=int(seconds) + 5,
        )
        super().__init__(config)
        self._service, self._drain = service, drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, as the class says."""
        self._service.life.stopping = True
        self._service.log("stopping", taken=self._service.desk.taken)
        await self._wait(self._drain, empty=False)
        await self._shut_door(sockets or [])
        await self._wait(_LINGER, empty=True)
        await super().shutdown(sockets)

    async def _shut_door(self, listeners: Sequence[socket.socket]) -> None:
        """Let in who stands at the door, and nobody else.

        asyncio takes a connection in one turn of its loop and hands it to the server in the next; whoever it
        holds when it stops listening is never answered. So it first leaves off, and the last are let in here,
        with nothing between the last one and the shut door in which another could come.
        """
        loop, last = asyncio.get_running_loop(), list[socket.socket]()
        with contextlib.suppress(NotImplementedError):  # where Windows accepts for us
            for listener in listeners:
                loop.remove_reader(listener)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for listener in listeners:
            with contextlib.suppress(OSError):  # nobody is left
                while True:
                    last.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        for connection in last:
            connection.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        """What speaks HTTP on one connection, as uvicorn makes it."""
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def _wait(self, seconds: float, *, empty: bool) -> None:
        """Wait, at most until a second signal, or until no connection is open."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end and not self.force_exit:
            if empty and not self.server_state.connections:
                return
            await asyncio.sleep(0.02)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal stops gently, the second at once."""
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)
