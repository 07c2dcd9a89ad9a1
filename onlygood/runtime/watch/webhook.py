"""A webhook that is told of verdicts, signed as Standard Webhooks has it (standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import http.client
import time
import urllib.error
import urllib.request
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from onlygood import __version__
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.watch.courier import Refused, Unreachable
from onlygood.runtime.watch.state import Entry

_TIMEOUT = 10  # seconds
_SHORTEST_SECRET = 16  # bytes
# Answers that are about this entry. All others (a wrong secret, too many requests, a broken server) are about
# the receiver as a whole: nothing is sent until it is well again.
_ABOUT_THE_ENTRY = {400, 409, 413, 415, 422}


def read_secret(text: str) -> bytes:
    """The key: what follows ``whsec_`` in Base64, as Standard Webhooks writes it, or else the text itself.

    Raises:
        OnlygoodError: it is too short to keep anything secret, or no Base64.
    """
    text = text.strip()
    try:
        coded = text.removeprefix("whsec_")
        secret = base64.b64decode(coded, validate=True) if coded != text else text.encode()
    except binascii.Error:
        raise OnlygoodError("the webhook's secret begins with whsec_, but no Base64 follows") from None
    if len(secret) < _SHORTEST_SECRET:
        raise OnlygoodError(
            f"the webhook's secret is shorter than {_SHORTEST_SECRET} bytes; make one:"
            " openssl rand -base64 32 > FILE"
        )
    return secret


def signature(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    """``v1,`` and the HMAC-SHA256 of ``id.timestamp.body`` in Base64."""
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Verdicts go where the user said and nowhere else."""

    def redirect_request(self, *_request: Any) -> None:
        """Follow none; the answer is then an error."""


class Webhook:
    """Posts each verdict as JSON.

    Raises:
        OnlygoodError: the URL is none that can be posted to.
    """

    name = "webhook"

    def __init__(self, url: str, secret: bytes) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if parts.scheme not in ("http", "https") or not host:
            raise OnlygoodError("--webhook wants a URL such as https://host/path")
        if parts.username is not None or parts.password is not None:
            raise OnlygoodError("--webhook: no user or password in the URL; the signature tells who sends")
        self.where = f"{host}:{port}" if port else host  # without the path, which may hold a token
        self._url = url
        self._secret = secret
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, entry: Entry) -> None:
        """Post one verdict.

        Raises:
            Unreachable: no connection, or an answer that is about the receiver.
            Refused: an answer that is about this verdict.
        """
        body, now = entry.body.encode(), int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"onlygood/{__version__}",
            "webhook-id": entry.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._secret, entry.id, now, body),
        }
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310 - checked above
        try:
            with self._opener.open(request, timeout=_TIMEOUT):
                return
        except urllib.error.HTTPError as error:
            words = _answer(error.code, error.headers)
            error.close()
            if error.code in _ABOUT_THE_ENTRY:
                raise Refused(words) from None
            raise Unreachable(f"{self.where} {words}") from None
        except urllib.error.URLError as error:
            raise Unreachable(f"{self.where} cannot be reached: {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.where} cannot be reached: {error}") from None

    def close(self) -> None:
        """Nothing is kept open."""


def _answer(code: int, headers: Message) -> str:
    if 300 <= code < 400:
        return f"answers {code}, which leads elsewhere; give the URL that it leads to"
    return f"answers {code} {http.client.responses.get(code, '')}".strip()
