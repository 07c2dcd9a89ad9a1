"""Uploads that mean harm, for `serving.py`: damaged pictures, bombs, wrong types, broken HTTP."""

import asyncio
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.deploy.serving import BOUNDARY, answer_of, form_of, request_of
from benchmarks.runtime.fuzz_reader import mutated

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import pictures

Make = Callable[[np.random.Generator, int], bytes]
_OCTETS = "application/octet-stream"
_AT_ONCE = 8


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(side: int) -> bytes:
    """A PNG of ``side`` squared black pixels, in few bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compressobj(9)
    line = bytes(1 + 3 * side)
    data = b"".join(pixels.compress(line) for _ in range(side)) + pixels.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def makers(port: int, image: bytes) -> dict[str, Make]:
    """How each kind of attack is made: the bytes that go over the wire."""
    pool = list(pictures.seeds().values())
    bombs = [
        bomb(11_000),
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)),
    ]
    bombs.append(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))[8:])
    bombs.append(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)) + bombs[2]
    )
    good = request_of(image, _OCTETS, port)
    form, kind = form_of(image)

    def damaged(rng: np.random.Generator, number: int) -> bytes:
        return request_of(mutated(number, 7, pool)[1], _OCTETS, port)

    def damaged_form(rng: np.random.Generator, number: int) -> bytes:
        return request_of(*form_of(mutated(number, 8, pool)[1]), port)

    def bombed(rng: np.random.Generator, number: int) -> bytes:
        return request_of(bombs[number % len(bombs)], "image/png", port)

    def typed_wrong(rng: np.random.Generator, number: int) -> bytes:
        kinds = [
            "application/json",
            "text/html",
            "",
            "multipart/form-data",
            "image",
            "a" * 500,
            "multipart/mixed; boundary=x",
        ]
        contents = [
            b'{"image": 1}',
            b"<html>",
            b"%PDF-1.7",
            b"PK\x03\x04",
            b"",
            b"\x7fELF",
            bytes(1000),
            image,
        ]
        return request_of(contents[number % len(contents)], kinds[number % len(kinds)], port)

    def broken_form(rng: np.random.Generator, number: int) -> bytes:
        data = bytearray(form)
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(min(len(data), 150)))
            data[at] = int(rng.integers(256))
        if number % 3 == 0:
            del data[int(rng.integers(len(data))) :]
        if number % 5 == 0:
            data = bytearray(
                (
                    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n\r\n'
                    * 500
                ).encode()
            )
        return request_of(bytes(data), kind, port)

    def broken_http(rng: np.random.Generator, number: int) -> bytes:
        if number % 4 == 0:
            return bytes(rng.integers(0, 256, int(rng.integers(1, 3000)), np.uint8))
        if number % 4 == 1:
            return good.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 1)
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 5))):
            data[int(rng.integers(150))] = int(rng.integers(256))
        return bytes(data[: int(rng.integers(1, len(data)))] if number % 4 == 2 else data)

    return {
        "damaged picture": damaged,
        "damaged picture in a form": damaged_form,
        "bomb": bombed,
        "wrong type": typed_wrong,
        "broken form": broken_form,
        "broken HTTP": broken_http,
    }


async def attack(port: int, uploads: int, image: bytes) -> dict[str, Counter[str]]:
    """Send them, a few at a time; the answers' codes by kind of attack."""
    made = makers(port, image)
    kinds = [name for name in made for _ in range(1 if name == "bomb" else 10)]
    found: dict[str, Counter[str]] = {name: Counter() for name in made}
    numbers = iter(range(uploads))

    async def work() -> None:
        for number in numbers:
            rng = np.random.default_rng((3, number))
            name = kinds[int(rng.integers(len(kinds)))]
            message = made[name](rng, number)
            found[name][await _sent(port, message, ends=name == "broken HTTP")] += 1

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return found


async def _sent(port: int, message: bytes, *, ends: bool) -> str:
    """The code of the answer, or how there was none; ``ends`` closes our side, as half a request needs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(message)
        if ends:
            writer.write_eof()
        async with asyncio.timeout(60):
            await writer.drain()
            code, _, _ = await answer_of(reader)
    except TimeoutError:
        return "no answer in 60 s"
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return "connection closed"
    else:
        return str(code)
    finally:
        writer.close()
