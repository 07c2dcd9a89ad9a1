import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import Result

from onlygood.deploy.serve import guard
from onlygood.runtime.model.detector import Detector

Gray = Callable[[str, int], Path]
RAW = {"Content-Type": "image/png"}
TOKEN = "0123456789abcdef0123"  # noqa: S105


@pytest.fixture
def good(gray: Gray) -> bytes:
    return gray("a.png", 51).read_bytes()


@pytest.fixture
def bad(gray: Gray) -> bytes:
    return gray("b.png", 240).read_bytes()


def test_rows_are_those_of_score(
    serve: Any, form: Any, tiny: Path, parts: Path, call: Callable[..., Result]
) -> None:
    paths = [parts / name for name in ("a.png", "b.png", "c.png")]
    answer = serve()("POST", "/score", *form(*((path.name, path.read_bytes()) for path in paths)))
    printed = call("score", tiny, *paths, "-f", "jsonl").stdout
    expected = [json.loads(line) for line in printed.splitlines()]
    for row in expected:
        row |= {"path": Path(row["path"]).name, "mtime_ns": None, "ms": None}
    assert answer.code == 200
    assert [row | {"ms": None} for row in answer.json["rows"]] == expected
    assert [row["status"] for row in expected] == ["normal", "anomalous", "error"]


def test_one_image_as_it_is(serve: Any, tiny: Path, good: bytes) -> None:
    client = serve()
    answer = client("POST", "/score", [good[:20], good[20:]], RAW)
    assert answer.code == 200
    assert answer.json["model"] == "tiny"
    assert answer.json["sha256"] == Detector.load(tiny).file.sha256
    assert [row["score"] for row in answer.json["rows"]] == [pytest.approx(51 / 255)]
    assert client("POST", "/score", good).code == 200  # curl without a header says nothing of the type


def test_boxes_say_where(serve: Any, bad: bytes) -> None:
    row = serve()("POST", "/score?boxes=true", bad, RAW).json["rows"][0]
    assert [region["box"] for region in row["regions"]] == [[0, 0, 8, 8]]


@pytest.mark.parametrize(
    ("path", "body", "headers", "expected"),
    [
        ("/score", b"no image", RAW, (422, "text, no picture")),
        ("/score", b"", RAW, (400, "holds no image")),
        ("/score", b"{}", {"Content-Type": "application/json"}, (415, "application/json")),
        (
            "/score",
            b"--xx--\r\n",
            {"Content-Type": "multipart/form-data; boundary=xx"},
            (400, "holds no image"),
        ),
        ("/score", b"x", {"Content-Type": "multipart/form-data"}, (400, "")),
        ("/score", b"x" * 99, {"Content-Type": "multipart/form-data; boundary=xx"}, (400, "")),
        ("/score?model=other", b"x", RAW, (404, "there are: tiny")),
        ("/score?boxes=maybe", b"x", RAW, (400, "boxes")),
        ("/score", b"x" * 1001, RAW, (413, "1000 bytes")),
        ("/score", b"x", RAW | {"Content-Length": "1001"}, (413, "1000 bytes")),
        ("/other", b"", {}, (404, "Not Found")),
    ],
)
def test_what_cannot_be_done_is_said(
    serve: Any, path: str, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = serve(max_bytes=1000)("POST", path, body, headers)
    code, words = expected
    assert answer.code == code
    said = answer.json["rows"][0]["error"] if code == 422 else answer.json["error"]
    assert words in said
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_a_body_that_does_not_say_its_length_is_bounded_too(serve: Any, form: Any) -> None:
    body, headers = form(("a.png", bytes(2000)))
    client = serve(max_bytes=1000)
    assert (
        client("POST", "/score", [body[i : i + 100] for i in range(0, len(body), 100)], headers).code == 413
    )
    assert client.service.desk.taken == 0


def test_too_many_files_are_refused(serve: Any, form: Any, good: bytes) -> None:
    answer = serve(most_images=2)("POST", "/score", *form(*[("a.png", good)] * 3))
    assert answer.code == 400


def test_too_many_pixels_are_a_row(serve: Any, good: bytes) -> None:
    answer = serve(max_pixels=63)("POST", "/score", good, RAW)
    assert answer.code == 422
    assert answer.json["rows"][0]["error"] == "8 x 8 pixels are more than the limit of 63"


def test_of_several_models_one_is_named(serve: Any, tiny: Path, tmp_path: Path, good: bytes) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(tiny.read_bytes())
    client = serve(tiny, other)
    assert "one of tiny, other" in client("POST", "/score", good, RAW).json["error"]
    assert client("POST", "/score?model=other", good, RAW).json["model"] == "other"
    assert [model["name"] for model in client("GET", "/models").json] == ["tiny", "other"]


def test_a_full_desk_turns_away_and_takes_again(
    serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(workers=1, queue=1)
    begin = threading.Event()
    infer = Detector.infer

    def waits(self: Detector, images: Any) -> Any:
        begin.wait()
        return infer(self, images)

    monkeypatch.setattr(Detector, "infer", waits)

    async def crowd() -> list[Any]:
        waiting = [asyncio.create_task(client.ask("POST", "/score", good, RAW)) for _ in range(2)]
        while client.service.desk.taken < 2:
            await asyncio.sleep(0)
        refused = await client.ask("POST", "/score", good, RAW)
        begin.set()
        return [refused, *await asyncio.gather(*waiting)]

    refused, *answered = asyncio.run(crowd())
    assert (refused.code, refused.headers["retry-after"]) == (429, "1")
    assert [answer.code for answer in answered] == [200, 200]
    assert client("POST", "/score", good, RAW).code == 200


def test_work_that_takes_too_long_is_answered_and_keeps_its_place_until_it_ends(
    serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(workers=1, queue=0, seconds=0.05)
    end = threading.Event()
    monkeypatch.setattr(Detector, "infer", lambda *_: end.wait())
    answer = client("POST", "/score", good, RAW)
    assert answer.code == 504
    assert client.service.desk.taken == 1
    assert client("POST", "/score", good, RAW).code == 429
    end.set()
    client.service.desk.close()
    assert client.service.desk.taken == 0


def test_a_body_that_does_not_come_is_not_waited_for(serve: Any, good: bytes) -> None:
    client = serve(seconds=0.05)
    assert client("POST", "/score", good[:9], RAW, stall=True).code == 408
    assert client.service.desk.taken == 0


def test_nor_is_one_that_is_refused_anyhow(serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read on for a while, so that its sender sees why; who never ends would hold a connection."""
    monkeypatch.setattr(guard, "_PATIENCE", 0.05)
    client = serve(token=TOKEN)

    async def asked() -> Any:
        return await asyncio.wait_for(client.ask("POST", "/score", good[:9], RAW, stall=True), 10)

    assert asyncio.run(asked()).code == 401


def test_a_client_that_leaves_costs_no_place(serve: Any, form: Any) -> None:
    client = serve()
    headers = form(("a.png", b"x"))[1]
    assert client("POST", "/score", [], RAW).code == 400
    assert client("POST", "/score", [], headers).code == 400
    assert client.service.desk.taken == 0


@pytest.mark.parametrize("given", ["Bearer wrong", TOKEN, "Basic " + TOKEN, "", "Bearer ü"])
def test_the_token_opens_all_but_health(serve: Any, good: bytes, given: str) -> None:
    client = serve(token=TOKEN)
    for method, path in (
        ("POST", "/score"),
        ("GET", "/models"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ):
        answer = client(method, path, good, RAW | {"Authorization": given})
        assert (answer.code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client(method, path, good, RAW | {"Authorization": f"Bearer {TOKEN}"}).code == 200
    assert [client("GET", path).code for path in ("/healthz", "/readyz")] == [200, 200]
    assert TOKEN not in client.words.getvalue()


def test_request_ids_are_taken_over_or_made_and_logged(serve: Any, good: bytes) -> None:
    client = serve()
    assert (
        client("POST", "/score", good, RAW | {"X-Request-ID": "line-7.4711"}).json["request_id"]
        == "line-7.4711"
    )
    made = client("POST", "/score", good, RAW | {"X-Request-ID": 'x"\n'}).json["request_id"]
    assert len(made) == 32
    first, second = client.lines()
    assert (first["request_id"], second["request_id"]) == ("line-7.4711", made)
    assert {
        key: first[key] for key in ("event", "method", "path", "code", "model", "images", "anomalous")
    } == {
        "event": "request",
        "method": "POST",
        "path": "/score",
        "code": 200,
        "model": "tiny",
        "images": 1,
        "anomalous": 0,
    }


def test_a_fault_is_logged_answered_and_over(
    serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    with monkeypatch.context() as patched:
        patched.setattr(Detector, "infer", lambda *_: 1 / 0)
        answer = client("POST", "/score", good, RAW)
    assert answer.code == 500
    assert "division" not in answer.json["error"]
    fault = next(line for line in client.lines() if line["event"] == "fault")
    assert fault["request_id"] == answer.json["request_id"]
    assert "ZeroDivisionError" in fault["trace"]
    assert client("POST", "/score", good, RAW).code == 200


def test_metrics_count(serve: Any, form: Any, good: bytes, bad: bytes) -> None:
    client = serve()
    client("POST", "/score", *form(("a", good), ("b", bad), ("c", b"x")))
    client("POST", "/" + "x" * 9)
    text = client("GET", "/metrics").body.decode()
    for line in (
        'onlygood_serve_requests_total{code="200",path="/score"} 1.0',
        'onlygood_serve_requests_total{code="404",path="other"} 1.0',
        'onlygood_serve_images_total{model="tiny",status="normal"} 1.0',
        'onlygood_serve_images_total{model="tiny",status="anomalous"} 1.0',
        'onlygood_serve_images_total{model="tiny",status="error"} 1.0',
        "onlygood_serve_score_seconds_count 1.0",
        "onlygood_serve_requests_taken 0.0",
        'onlygood_serve_model{model="tiny",sha256="' + client.service.models.all()[0].detector.file.sha256,
    ):
        assert line in text


def test_openapi_describes_what_is_answered(serve: Any) -> None:
    described = serve()("GET", "/openapi.json").json
    assert set(described["paths"]) == {"/score", "/models", "/healthz", "/readyz", "/metrics"}
    score = described["paths"]["/score"]["post"]
    assert set(score["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/octet-stream",
        "image/*",
    }
    assert {"200", "400", "404", "408", "413", "415", "422", "429", "504"} <= set(score["responses"])
    assert serve()("GET", "/docs").code == 404  # would load programs from elsewhere


def test_who_stops_says_so_and_goes_on_answering(serve: Any, good: bytes) -> None:
    client = serve()
    client.service.life.stopping = True
    assert client("GET", "/readyz").code == 503
    assert client("GET", "/healthz").code == 200
    answer = client("POST", "/score", good, RAW)
    assert (answer.code, answer.headers["connection"]) == (200, "close")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300),
    kind=st.sampled_from(["image/png", "multipart/form-data; boundary=xx", "", "x"]),
)
def test_whatever_comes_is_answered_and_leaves_nothing_behind(serve: Any, body: bytes, kind: str) -> None:
    client = serve()
    for sent in (body, b"--xx\r\n" + body):
        assert client("POST", "/score", sent, {"Content-Type": kind}).code in (400, 415, 422)
    assert client.service.desk.taken == 0
    client.service.desk.close()
