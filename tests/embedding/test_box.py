"""The model in the box: loaded at first use, stoppable, and its windows cover the whole text."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from mimo.embedding.box import FOLDER, Box
from mimo.embedding.degradation import Degraded, embedding
from mimo.embedding.embedder import Embedder, State
from mimo.embedding.windows import pooled, windows
from mimo.errors import Unusable

pytestmark = pytest.mark.vectors


async def test_near_in_meaning_is_near() -> None:
    box: Embedder = Box()
    tea, drink, rain = await box.embed(
        ["Anna drinks tea.", "Which beverage does Anna like?", "Rain in Hamburg."]
    )
    assert tea @ drink > 0.5 > tea @ rain
    assert box.state is State.READY


async def test_its_name_is_known_before_it_is_loaded() -> None:
    box = Box()
    assert box.model.startswith("all-minilm-l6-v2:")
    assert (box.dim, box.state) == (384, State.IDLE)


async def test_no_texts_load_nothing() -> None:
    box = Box()
    assert (await box.embed([])).shape == (0, 384)
    assert box.state is State.IDLE


async def test_the_end_of_a_long_text_counts() -> None:
    box = Box()
    filler = "The committee met again and talked about the usual things. " * 60
    plain, ended = await box.embed([filler, filler + "The dragon sleeps under the lighthouse."])
    assert plain @ ended < 0.9999
    np.testing.assert_allclose(np.linalg.norm(ended), 1, atol=1e-6)


async def test_callers_at_once_load_it_once_and_get_their_own() -> None:
    box, found = Box(), dict[str, np.ndarray]()

    async def ask(text: str) -> None:
        found[text] = (await box.embed([text]))[0]

    async with trio.open_nursery() as nursery:
        for text in ("tea", "rain", "code"):
            nursery.start_soon(ask, text)
    for text, vector in found.items():
        np.testing.assert_allclose((await box.embed([text]))[0], vector, atol=2e-6)


async def test_a_question_does_not_wait_for_a_library() -> None:
    box, ended = Box(), list[str]()
    library = [
        f"Chapter {number} tells of a harbour, a lamp and the {number} boats there" for number in range(60)
    ]
    long = " ".join(library)
    await box.embed(["loaded"])

    async def embed(name: str, texts: list[str]) -> None:
        vectors = await box.embed(texts)
        ended.append(name)
        alone = [(await box.embed([text]))[0] for text in texts[::20]]
        assert np.allclose(vectors[::20], alone, atol=1e-5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(embed, "library", [*library, long])
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(embed, "question", ["How many boats are there?"])
    assert ended == ["question", "library"]


async def test_it_stops_between_batches_when_cancelled() -> None:
    box = Box()
    await box.embed(["warm"])
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                await trio.testing.wait_all_tasks_blocked(0.02)
                scope.cancel()

            nursery.start_soon(stop)
            with trio.fail_after(20):  # all of it would take minutes
                await box.embed(["word " * 200] * 3000)
    assert scope.cancelled_caught
    assert (await box.embed(["still there"])).shape == (1, 384)


async def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    box = Box(tmp_path)
    with pytest.raises(Unusable, match="cannot be loaded"):
        await box.embed(["x"])
    assert box.state is State.DOWN
    with pytest.raises(Unusable, match="cannot be read"):
        _ = box.model


@pytest.mark.holds_up_the_loop
@pytest.mark.parametrize("size", [0, 4, 64])
async def test_a_damaged_model_is_said(tmp_path: Path, size: int) -> None:
    shutil.copy(FOLDER / "vocab.txt", tmp_path)
    (tmp_path / "weights.safetensors").write_bytes((FOLDER / "weights.safetensors").read_bytes()[:size])
    with pytest.raises(Unusable):
        await Box(tmp_path).embed(["x"])
    with pytest.raises(Unusable):
        _ = Box(tmp_path).model


@given(st.integers(0, 3000), st.integers(2, 300), st.data())
def test_windows_cover_everything_and_overlap(length: int, size: int, data: st.DataObject) -> None:
    """Every piece is in a window; no window is too long; each shares at least `overlap` with the next."""
    overlap = data.draw(st.integers(0, size - 1))
    pieces = range(length)
    cut = windows(pieces, size, overlap)
    assert [*cut[0][:1]] == [*pieces[:1]]
    assert [*cut[-1][-1:]] == [*pieces[-1:]]
    assert all(len(window) <= size for window in cut)
    for before, after in pairwise(cut):
        assert before[0] < after[0] <= before[-1] + 1 - overlap


def test_pooling_takes_the_mean_of_each_texts_windows() -> None:
    rows = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    np.testing.assert_allclose(pooled(rows, [2, 1]), [[0.5**0.5, 0.5**0.5], [1, 0]], rtol=1e-6)


@given(st.text(), st.integers(1, 1024))
def test_a_degraded_vector_is_the_same_for_the_same_text(text: str, dim: int) -> None:
    one, two = embedding(text, dim), embedding(text, dim)
    np.testing.assert_array_equal(one.numbers, two.numbers)
    assert one.dim == dim
    np.testing.assert_allclose(np.linalg.norm(one.numbers), 1, rtol=1e-5)


def test_a_degraded_vector_cannot_be_stored_by_accident() -> None:
    made = embedding("tea with Anna", 384)
    assert isinstance(made, Degraded)
    assert made.model == "hash:degraded"
    with pytest.raises(TypeError, match="not to be stored"):
        np.asarray(made, np.float32)
    assert (
        made.numbers @ embedding("tea with Bob", 384).numbers
        > 0.3
        > made.numbers @ embedding("rain", 384).numbers
    )
    with pytest.raises(ValueError, match="at least 1"):
        embedding("x", 0)
