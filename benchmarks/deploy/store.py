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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    class Quiet(MotoRequestHandler):  # type: ignore[misc]
        """Keeps connections, and writes no line for each request."""

        def log_request(self, *_: Any) -> None:
            pass

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
    app = giving(objects, DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


def giving(objects: dict[str, tuple[bytes, str]], app: Callable[..., Iterable[bytes]]) -> Any:
    """A WSGI application that gives objects (content, ETag) by their paths, and asks ``app`` for all else."""

    def given(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        found = objects.get(environ["PATH_INFO"])
        method = environ["REQUEST_METHOD"]
        if found is None or environ["QUERY_STRING"] or method not in ("GET", "HEAD"):
            return app(environ, start)
        content, etag = found
        size, status, headers = len(content), "200 OK", []
        if asked := environ.get("HTTP_RANGE"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or size), size - 1)
            content, status = content[begin : end + 1], "206 Partial Content"
            headers = [("Content-Range", f"bytes {begin}-{end}/{size}")]
        headers += [
            ("ETag", etag),
            ("Last-Modified", "Mon, 30 Nov 2026 12:00:00 GMT"),
            ("Accept-Ranges", "bytes"),
            ("Content-Type", "binary/octet-stream"),
            ("Content-Length", str(len(content))),
        ]
        start(status, headers)
        return [content] if method == "GET" else []

    return given


if __name__ == "__main__":
    main()
