"""An MQTT broker that is told of verdicts: quality of service 1, at least once."""

import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.watch.courier import Unreachable
from onlygood.runtime.watch.state import Entry

_TIMEOUT = 10.0  # seconds, for the connection and for each acknowledgment
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class Mqtt:
    """Publishes each verdict as JSON under one topic.

    Args:
        url: ``mqtt://[USER@]HOST[:PORT]/TOPIC``, or ``mqtts://`` for TLS.
        client: names this client to the broker.
        password: of the user.

    Raises:
        OnlygoodError: the URL is none, or paho-mqtt is not installed.
    """

    name = "mqtt"

    def __init__(self, url: str, client: str, password: str | None = None) -> None:
        try:
            import paho.mqtt.client as paho  # noqa: PLC0415 - an extra
        except ImportError:
            raise OnlygoodError("--mqtt needs the package paho-mqtt: pip install 'onlygood[mqtt]'") from None
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        topic = unquote(parts.path.removeprefix("/"))
        if parts.scheme not in _PORTS or not host or not topic or parts.query or parts.fragment:
            raise OnlygoodError("--mqtt wants a URL such as mqtt://host:1883/line/1 (mqtts:// for TLS)")
        if parts.password is not None:
            raise OnlygoodError(
                "--mqtt: a password in the URL can be read by every user of this machine; give"
                " --mqtt-password FILE"
            )
        if any(character in topic for character in "+#\0"):
            raise OnlygoodError(f"--mqtt: a topic to publish under has no + and no #: {topic!r}")
        self._paho: Any = paho
        self._host, self._topic = host, topic
        self._port = port or _PORTS[parts.scheme]
        self._tls = parts.scheme == "mqtts"
        self._user, self._password = parts.username and unquote(parts.username), password
        self._id = client
        self._client: Any = None

    def send(self, entry: Entry) -> None:
        """Publish one verdict and wait for the broker's acknowledgment.

        Raises:
            Unreachable: there is no connection, or no acknowledgment.
        """
        try:
            if self._client is None:
                self._client = self._connect()
            sent = self._client.publish(self._topic, entry.body, qos=1)
            sent.wait_for_publish(_TIMEOUT)
            if sent.is_published():
                return
            reason = "no acknowledgment"
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error)
        self.close()  # with what the client itself holds back: the state sends it again
        raise Unreachable(f"{self._host}:{self._port}: {reason}")

    def _connect(self) -> Any:
        """A connected client.

        Raises:
            OSError: there is no connection.
        """
        answered, answers = threading.Event(), []

        def connected(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            answers.append(reason)
            answered.set()

        client = self._paho.Client(self._paho.CallbackAPIVersion.VERSION2, client_id=self._id)
        client.on_connect = connected
        client.connect_timeout = _TIMEOUT
        if self._user is not None:
            client.username_pw_set(self._user, self._password)
        if self._tls:
            client.tls_set()
        client.connect(self._host, self._port, keepalive=30)
        client.loop_start()
        if answered.wait(_TIMEOUT) and not answers[0].is_failure:
            return client
        client.loop_stop()
        raise OSError(f"the broker refuses: {answers[0]}" if answers else "the broker does not answer")

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None
