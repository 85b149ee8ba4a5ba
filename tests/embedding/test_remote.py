"""Embedders behind an address: right answers in order, and every fault has its name."""

import json
import ssl
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing

from mimo.embedding.embedder import Embedder, State
from mimo.embedding.ollama import ollama
from mimo.embedding.openai import openai
from mimo.embedding.post import LARGEST_REPLY, address
from mimo.embedding.remote import Pace
from mimo.errors import Busy, InvalidArguments, MimoError, TooSlow, Unavailable, Unusable
from mimo.resilience import Retry

from .conftest import DIM, Said, standing_in

pytestmark = pytest.mark.vectors
ONCE = Retry(attempts=1)
Make = Callable[..., Any]


@pytest.fixture(params=[ollama, openai], ids=["ollama", "openai"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def json_of(**fields: Any) -> Said:
    return Said(body=json.dumps(fields).encode())


async def test_every_text_gets_its_vector_in_order_and_of_length_one(make: Make) -> None:
    async with standing_in() as there:
        embedder: Embedder = make("m", there.url, pace=Pace(batch=2))
        assert embedder.state is State.IDLE
        vectors = await embedder.embed(["a", "bb", "ccc", "dddd", "eeeee"])
        np.testing.assert_allclose(vectors[:, 0] / vectors[:, 1], [1, 2, 3, 4, 5], rtol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
        assert vectors.dtype == np.float32
        assert [len(question["input"]) for question in there.asked] == [2, 2, 1]
        assert embedder.dim == DIM
        assert embedder.state is State.READY


async def test_they_speak_each_their_protocol() -> None:
    async with standing_in() as there:
        await ollama("nomic", there.url).embed(["x"])
        await openai("small", there.url + "/v1/", key="k3y").embed(["x"])
        assert there.paths == ["/api/embed", "/v1/embeddings"]
        assert there.keys == [None, "Bearer k3y"]
        assert [question["model"] for question in there.asked] == ["nomic", "small"]
        assert ollama("nomic", there.url).model == "ollama:nomic"


async def test_over_tls_who_is_trusted_answers_and_who_is_not_is_down(
    certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    async with standing_in(tls) as there:
        embedder = openai("small", there.url + "/v1", retry=ONCE)
        with pytest.raises(Unavailable, match="self-signed certificate"):
            await embedder.embed(["x"])
        assert there.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
        assert (await embedder.embed(["x"])).shape == (1, DIM)
        assert (await embedder.embed(["y"])).shape == (1, DIM)


async def test_no_texts_ask_nobody(make: Make) -> None:
    assert (await make("m", "http://127.0.0.1:9", dim=5).embed([])).shape == (0, 5)


async def test_half_a_character_can_be_asked_about(make: Make) -> None:
    async with standing_in() as there:
        assert (await make("m", there.url).embed(["a\ud800b"])).shape == (1, DIM)
        assert there.asked[0]["input"] == ["ab"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Said(500, b'{"error": "out of memory"}'), Unavailable),
        (Said(503, b"<html>"), Unavailable),
        (Said(429, b'{"error": {"message": "slow down"}}', (("Retry-After", "7"),)), Busy),
        (Said(408), TooSlow),
        (Said(401, b'{"error": {"message": "bad key"}}'), Unusable),
        (Said(404, b'{"error": "model \\"m\\" not found, try pulling it first"}'), Unusable),
        (Said(301, headers=(("Location", "http://elsewhere/"),)), Unusable),
        (Said(400, b'{"error": "input too long"}'), InvalidArguments),
        (Said(200, b"{nonsense"), Unavailable),
        (Said(200, b"[" * 100_000), Unavailable),
        (Said(200, b"\xff\xfe"), Unavailable),
        (Said(200, b"null"), Unavailable),
        (Said(200, b"x" * 500, cut_after=120), Unavailable),
        (Said(200, b"x" * 500, cut_after=3), Unavailable),
        (Said(200, b"x", cut_after=0), Unavailable),
        (Said(200, b"{" + b" " * LARGEST_REPLY + b"}"), Unavailable),
        (json_of(embeddings=[], data=[]), Unavailable),
        (json_of(embeddings=[[1.0]], data=[{"index": 0, "embedding": [1.0]}]), Unavailable),  # of two texts
        (json_of(embeddings=[[1, 2], [1]], data=[{"index": 0, "embedding": [1]}, {"index": 0}]), Unavailable),
        (json_of(embeddings="ab", data=[{"index": i, "embedding": "ab"} for i in (0, 1)]), Unavailable),
        (
            json_of(embeddings=[[0, 0]] * 2, data=[{"index": i, "embedding": [0, 0]} for i in (0, 1)]),
            Unavailable,
        ),
        (
            json_of(embeddings=[[1e400]] * 2, data=[{"index": i, "embedding": [1e400]} for i in (0, 1)]),
            Unavailable,
        ),
    ],
)
async def test_every_fault_has_its_name(make: Make, fault: Said, error: type[MimoError]) -> None:
    async with standing_in() as there:
        there.faults = [fault]
        embedder = make("m", there.url, retry=ONCE)
        with pytest.raises(error) as raised:
            await embedder.embed(["one", "two"])
        assert type(raised.value) is error
        assert embedder.state is State.DOWN
        if error is Busy:
            assert raised.value.details["after"] == 7
        assert len(raised.value.message) < 400
        assert (await embedder.embed(["one", "two"])).shape == (2, DIM)
        assert embedder.state is State.READY


async def test_what_passes_is_tried_again(make: Make) -> None:
    async with standing_in() as there:
        there.faults = [Said(500), Said(200, b"x" * 50, cut_after=100)]
        assert (await make("m", there.url, retry=Retry(attempts=3, first=0)).embed(["x"])).shape == (1, DIM)
        assert len(there.asked) == 3


async def test_what_does_not_pass_is_not_tried_again(make: Make) -> None:
    async with standing_in() as there:
        there.faults = [Said(401), Said(401)]
        with pytest.raises(Unusable):
            await make("m", there.url).embed(["x"])
        assert len(there.asked) == 1


async def test_ollama_is_left_alone_after_three_failures() -> None:
    async with standing_in() as there:
        there.faults = [Said(500)] * 9
        embedder = ollama("m", there.url, retry=ONCE)
        for _ in range(5):
            with pytest.raises(Unavailable):
                await embedder.embed(["x"])
        assert len(there.asked) == 3
        assert embedder.state is State.DOWN


async def test_nobody_there_is_unavailable(make: Make) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    with pytest.raises(Unavailable):
        await make("m", f"http://127.0.0.1:{port}", retry=ONCE).embed(["x"])


async def test_silence_has_a_deadline(make: Make) -> None:
    async with standing_in() as there:
        there.faults = [Said(after=3600)]
        with pytest.raises(TooSlow):
            await make("m", there.url, retry=ONCE, pace=Pace(seconds=0.05)).embed(["x"])


async def test_cancellation_takes_effect_at_once(make: Make) -> None:
    async with standing_in() as there:
        there.faults = [Said(after=3600)]
        embedder = make("m", there.url, retry=ONCE)
        with trio.move_on_after(0.05) as scope:
            await embedder.embed(["x"])
        assert scope.cancelled_caught
        assert embedder.state is State.IDLE


async def test_another_dimension_is_refused(make: Make) -> None:
    async with standing_in() as there:
        with pytest.raises(Unusable, match="8 dimensions where 16"):
            await make("m", there.url, dim=16).embed(["x"])
        embedder = make("m", there.url)
        await embedder.embed(["x"])
        there.dim = 12
        with pytest.raises(Unusable, match="another model"):
            await embedder.embed(["x"])


async def test_it_speaks_through_tls(make: Make) -> None:
    """Without a certificate that anybody trusts: the refusal shows that the handshake was tried."""
    async with standing_in() as there:
        with pytest.raises(Unavailable):
            await make("m", there.url.replace("http:", "https:"), retry=ONCE).embed(["x"])
        assert there.asked == []


@pytest.mark.parametrize(
    "base",
    [
        "",
        "127.0.0.1:11434",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://u:p@x",
        "http://x?a=b",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_said_at_once(make: Make, base: str) -> None:
    with pytest.raises(Unusable):
        make("m", base)


def test_addresses_are_put_together() -> None:
    assert str(address("http://[::1]:11434/", "/api/embed")) == "http://[::1]:11434/api/embed"
    assert (
        str(address("https://api.example.org/v1", "/embeddings"))
        == "https://api.example.org:443/v1/embeddings"
    )
