"""A webhook, a broker and commands, each of flesh and blood: sockets and processes of this machine."""

import base64
import hashlib
import hmac
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.watch import command as command_module
from onlygood.runtime.watch import mqtt as mqtt_module
from onlygood.runtime.watch.command import Command
from onlygood.runtime.watch.courier import Refused, Unreachable
from onlygood.runtime.watch.mqtt import Mqtt
from onlygood.runtime.watch.state import Entry
from onlygood.runtime.watch.webhook import Webhook, read_secret, signature

BODY = json.dumps({"id": "abc-1", "path": "in/a.png", "status": "anomalous", "score": 0.9, "p_value": None})
ENTRY = Entry(1, "abc-1", BODY)
SECRET = b"0123456789abcdef"


# --- webhook


class Server(HTTPServer):
    """Notes requests and answers with ``code``."""

    code = 204

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/verdicts?token=secret"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.code)
        if self.server.code == 302:
            self.send_header("Location", self.server.url)
        self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_signature_by_hand() -> None:
    """The example of the Standard Webhooks specification and libraries."""
    secret = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_verdict_arrives_signed(server: Server) -> None:
    Webhook(server.url, SECRET).send(ENTRY)
    ((headers, body),) = server.requests
    assert body.decode() == BODY
    assert (headers["content-type"], headers["webhook-id"]) == ("application/json", "abc-1")
    signed = f"abc-1.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"


@pytest.mark.parametrize(
    ("code", "problem"),
    [(400, Refused), (413, Refused), (422, Refused)]
    + [(code, Unreachable) for code in (302, 401, 403, 404, 408, 429, 500, 503)],
)
def test_answers_are_about_the_entry_or_about_the_receiver(
    server: Server, code: int, problem: type[Exception]
) -> None:
    server.code = code
    with pytest.raises(problem, match=str(code)) as raised:
        Webhook(server.url, SECRET).send(ENTRY)
    assert len(server.requests) == 1  # no redirect was followed
    assert "token" not in str(raised.value)


def test_nobody_there_and_nonsense_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(Unreachable, match="cannot be reached"):
            Webhook(url, SECRET).send(ENTRY)
        listener.listen()

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(10_000)
                connection.sendall(b"\0\xff nonsense\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unreachable, match="cannot be reached"):
            Webhook(url, SECRET).send(ENTRY)
        thread.join()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/", "host/path", "http://", "http://u:p@host/", "http://h:x/"]
)
def test_what_cannot_be_posted_to(url: str) -> None:
    with pytest.raises(OnlygoodError, match="--webhook"):
        Webhook(url, SECRET)


@pytest.mark.parametrize("text", ["", "short", "whsec_*", "whsec_c2hvcnQ="])
def test_secrets_that_are_none(text: str) -> None:
    with pytest.raises(OnlygoodError, match="secret"):
        read_secret(text)


# --- MQTT


class Broker(threading.Thread):
    """As much of MQTT 3.1.1 as one client needs: CONNECT, PUBLISH at quality 1, PINGREQ, DISCONNECT."""

    def __init__(self, *, code: int = 0, acknowledge: bool = True) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.code, self.acknowledge = code, acknowledge
        self.connects: list[bytes] = []
        self.published: list[tuple[str, str]] = []
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                while head := stream.read(1):
                    kind, body = head[0] >> 4, stream.read(self._length(stream))
                    if kind == 1:
                        self.connects.append(body)
                        stream.write(bytes([0x20, 2, 0, self.code]))
                    elif kind == 3:
                        size = int.from_bytes(body[:2])
                        identifier = body[2 + size : 4 + size]
                        self.published.append((body[2 : 2 + size].decode(), body[4 + size :].decode()))
                        if self.acknowledge:
                            stream.write(bytes([0x40, 2]) + identifier)
                    elif kind == 12:
                        stream.write(bytes([0xD0, 0]))
                    elif kind == 14:
                        break
                    stream.flush()

    @staticmethod
    def _length(stream: object) -> int:
        length = shift = 0
        while True:
            byte = stream.read(1)[0]  # type: ignore[attr-defined]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return length

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(10)


def test_verdicts_are_published_under_the_topic() -> None:
    broker = Broker()
    mqtt = Mqtt(f"mqtt://line%201@127.0.0.1:{broker.port}/hall/a%20b", "onlygood-abc", "pass")
    mqtt.send(ENTRY)
    mqtt.send(ENTRY)
    mqtt.close()
    broker.close()
    assert broker.published == [("hall/a b", BODY)] * 2
    (connect,) = broker.connects  # one connection for both
    for part in (b"onlygood-abc", b"line 1", b"pass"):
        assert len(part).to_bytes(2) + part in connect


def test_a_broker_that_refuses_and_one_that_does_not_acknowledge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_module, "_TIMEOUT", 0.3)
    for options, words in (({"code": 5}, "refuses"), ({"acknowledge": False}, "no acknowledgment")):
        broker = Broker(**options)  # type: ignore[arg-type]
        mqtt = Mqtt(f"mqtt://127.0.0.1:{broker.port}/t", "c")
        with pytest.raises(Unreachable, match=words):
            mqtt.send(ENTRY)
        broker.acknowledge, broker.code = True, 0
        mqtt.send(ENTRY)  # it is well again
        mqtt.close()
        broker.close()
    with pytest.raises(Unreachable, match="refused"):
        mqtt.send(ENTRY)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("host/topic", "wants a URL"),
        ("mqtt://host", "wants a URL"),
        ("mqtt://host/", "wants a URL"),
        ("mqtt://host:port/t", "wants a URL"),
        ("mqtt://host/t?x=1", "wants a URL"),
        ("mqtt://u:p@host/t", "--mqtt-password"),
        ("mqtt://host/line/%23", "no \\+ and no #"),
        ("mqtt://host/+/x", "no \\+ and no #"),
    ],
)
def test_what_cannot_be_published_to(url: str, words: str) -> None:
    with pytest.raises(OnlygoodError, match=words):
        Mqtt(url, "c")


# --- commands


def script(tmp_path: Path, code: str) -> str:
    path = tmp_path / "script.py"
    path.write_text(code)
    return f"'{sys.executable}' -S -E '{path}'"


@pytest.mark.parametrize(
    "name",
    ["a.png", "$(touch x).png", "a; touch x.png", "`touch x`.png", "-rf.png", "a\nb.png", "caf\udce9.png"],
)
def test_no_name_is_more_than_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    code = f"import sys, os; open({str(out)!r}, 'wb').write(b'|'.join(map(os.fsencode, sys.argv[1:])))"
    Command(script(tmp_path, code)).send(Entry(1, "i", json.dumps({"path": name})))
    assert out.read_bytes() == os.fsencode(tmp_path) + b"/" + os.fsencode(name)
    assert not (tmp_path / "x").exists()


def test_fields_are_filled_in_once() -> None:
    command = Command("echo -s={status} {id}:{p_value} '{path} {score}' {other} {")
    verdict = {"path": "/in/{status}.png", "status": "normal", "id": "i-1", "score": 0.5, "p_value": None}
    assert command.arguments(verdict) == ["echo", "-s=normal", "i-1:", "/in/{status}.png 0.5", "{other}", "{"]
    assert Command("echo x").arguments({"path": "/a"}) == ["echo", "x", "/a"]
    assert Command("echo").arguments({"path": "/a", "moved_to": "/b"}) == ["echo", "/b"]


def test_the_row_is_on_stdin_and_a_failure_is_a_refusal(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read()); sys.exit(3)"
    with pytest.raises(Refused, match="ended with 3"):
        Command(script(tmp_path, code)).send(ENTRY)
    assert out.read_text() == BODY + "\n"


def test_a_command_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_module, "_TIMEOUT", 0.2)
    with pytest.raises(Refused, match="killed"):
        Command("sh -c 'sleep 1000 & sleep 1000'").send(ENTRY)  # would wait for the child's stdin


@pytest.mark.parametrize("words", ["", "no-such-command-anywhere {path}", "'unclosed"])
def test_commands_that_cannot_be_run(words: str) -> None:
    with pytest.raises(OnlygoodError, match="--exec"):
        Command(words)
