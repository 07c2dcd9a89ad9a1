"""An S3 of this machine, as moto has it, full of images: what `on_ray.py --store` reads.

    python -m benchmarks.deploy.store IMAGES NUMBER

The images are there again and again under new names, in ``s3://plant/many``, a thousand in a folder, and one
of them in ``s3://plant/one``. Prints the port when it is ready.

moto takes 4 ms of CPU for each object that it gives, more than what is measured takes to score it; and it has
one CPU. So it is asked for lists and all else, but objects are given past it.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.deploy.watched import ticks
from onlygood.runtime.images.files import IMAGE_SUFFIXES

BUCKET, MANY, ONE = "plant", "many", "one"
FOLDER = 1000  # images


def pictures(folder: Path) -> list[Path]:
    """The images below a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


class Store:
    """The process that serves, and the environment in which S3 is that process."""

    def __init__(self, child: subprocess.Popen[str], port: str) -> None:
        self._child = child
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",  # else clients ask a network that is not there
        }

    @property
    def cpu_seconds(self) -> float:
        """Of the process, since it began."""
        return ticks(self._child.pid) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(images: Path, number: int) -> Iterator[Store]:
    """A `Store` with ``number`` of the images, until the block ends."""
    words = [sys.executable, "-m", "benchmarks.deploy.store", str(images), str(number)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        port = child.stdout.readline().strip() if child.stdout else ""
        if not port:
            sys.exit(f"the store ended with {child.wait()}")
        yield Store(child, port)
    finally:
        child.kill()
        child.wait()


def main() -> None:
    from moto.backends import get_backend  # noqa: PLC0415 - of the process that serves alone
    from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    contents = [(path.suffix, path.read_bytes()) for path in pictures(folder)]
    names = [f"{MANY}/{index // FOLDER:04}/{index:07}" for index in range(number)] + [f"{ONE}/0"]
    backend = get_backend("s3")["123456789012"]["aws"]
    backend.create_bucket(BUCKET, "us-east-1")
    objects: dict[str, tuple[bytes, str]] = {}
    for index, name in enumerate(names):
        suffix, content = contents[index % len(contents)]
        key = backend.put_object(BUCKET, name + suffix, content)
        objects[f"/{BUCKET}/{name}{suffix}"] = content, key.etag
    Handler.objects, Handler.others = objects, DomainDispatcherApplication(create_backend_app)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


class Handler(BaseHTTPRequestHandler):
    """Gives objects (content, ETag) by their paths, and asks moto for all else; none of it has a body.

    Connections are kept, as S3 does: the server of moto ends each.
    """

    objects: ClassVar[dict[str, tuple[bytes, str]]]
    others: ClassVar[Callable[..., Any]]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer; a HEAD, too."""
        found = self.objects.get(self.path)
        if found is None:
            self._other()
            return
        content, etag = found
        size, status = len(content), 200
        headers = {"ETag": etag, "Last-Modified": "Mon, 30 Nov 2026 12:00:00 GMT", "Accept-Ranges": "bytes"}
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or size), size - 1)
            content, status = content[begin : end + 1], 206
            headers["Content-Range"] = f"bytes {begin}-{end}/{size}"
        self._answer(status, headers, content)

    do_HEAD = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, *_: Any) -> None:
        """No line for each request."""

    def _other(self) -> None:
        from werkzeug.test import create_environ, run_wsgi_app  # noqa: PLC0415 - of the process that serves

        root = f"http://{self.headers['Host']}"
        environ = create_environ(self.path, root, method=self.command, headers=dict(self.headers))
        parts, status, headers = run_wsgi_app(type(self).others, environ, buffered=True)
        self._answer(int(status.split()[0]), dict(headers), b"".join(parts))

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


if __name__ == "__main__":
    main()
