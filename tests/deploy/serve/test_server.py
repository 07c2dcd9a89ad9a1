import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from onlygood.deploy.serve.server import Server, address, listen
from onlygood.runtime.errors import OnlygoodError


def test_answers_leave_at_once() -> None:
    """asyncio switches Nagle's algorithm off only on sockets that say that they speak TCP."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert address(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OnlygoodError, match=f"port {port}: .*another --port"):
            listen("127.0.0.1", port)


def test_who_came_before_the_door_shut_is_answered(serve: Any, gray: Any) -> None:
    """A connection that was open, one at the door when the signal came, and one in each turn after.

    asyncio holds a connection for a turn of its loop before the server has it.
    """
    client = serve(queue=50)
    body = Path(gray("a.png", 51)).read_bytes()
    request = b"POST /score HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def scene() -> list[bytes]:
        listener = listen("127.0.0.1", 0)
        server = Server(client.application, client.service, drain=0, seconds=10)
        running = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        port = listener.getsockname()[1]
        early = await asyncio.open_connection("127.0.0.1", port)
        while not server.server_state.connections:
            await asyncio.sleep(0.01)
        late = [socket.create_connection(("127.0.0.1", port))]  # the kernel has it, the server not yet
        stop = asyncio.create_task(server.shutdown([listener]))
        while server.servers[0].is_serving():
            await asyncio.sleep(0)
            with contextlib.suppress(ConnectionRefusedError):
                late.append(socket.create_connection(("127.0.0.1", port)))
        assert len(late) > 5
        early[1].write(request)
        for connection in late:
            connection.sendall(request)
        answers = [await early[0].read()]
        for connection in late:
            connection.settimeout(60)
            answers.append(await asyncio.to_thread(connection.recv, 99))
            connection.close()
        await stop
        server.should_exit = server.force_exit = True
        server.started = False  # it was shut down already
        await running
        return answers

    assert {answer.split(b"\r\n")[0] for answer in asyncio.run(scene())} == {b"HTTP/1.1 200 OK"}
