"""Receivers of verdicts that can be away, and count what comes: a webhook, and a broker with a subscriber."""

import json
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Hook:
    """A webhook that can be away; it counts how often each id came."""

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()
        self.port = 0
        self.back()

    def back(self) -> None:
        """Listen, at the same port."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.came[json.loads(body)["id"]] += 1
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def away(self) -> None:
        """Refuse connections."""
        self._server.shutdown()
        self._server.server_close()


class Broker:
    """mosquitto, which can be away, and a subscriber whose session it keeps."""

    PORT = 18830

    def __init__(self, folder: Path) -> None:
        import paho.mqtt.client as paho  # noqa: PLC0415

        self.came: Counter[str] = Counter()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.PORT} 127.0.0.1\nallow_anonymous true\npersistence true\nuser root\n"
            f"persistence_location {folder}/\nmax_queued_messages 0\n"
        )
        self.back()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="day", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe("line/1", qos=1)
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        for _ in range(100):
            with suppress(OSError):
                self._client.connect("127.0.0.1", self.PORT)
                break
            time.sleep(0.1)
        self._client.loop_start()
        time.sleep(1)

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        self.came[json.loads(message.payload)["id"]] += 1

    def back(self) -> None:
        """Start."""
        self._process = subprocess.Popen(
            ["mosquitto", "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def away(self) -> None:
        """Stop."""
        self._process.terminate()
        self._process.wait()

    def close(self) -> None:
        """Stop all."""
        self._client.loop_stop()
        self.away()
