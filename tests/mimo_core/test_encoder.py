"""Vectors are those of the reference, from every implementation and instruction set that this machine has."""

import base64
import json
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mimo_core import _numpy_encoder
from mimo_core._weights import BadWeights, Weights
from mimo_core.encoder import BATCH, TOKENS_HELD, Encoder

try:
    from mimo_core import _core, _encoder
except ImportError:  # not compiled: the twin is all there is
    _core = _encoder = None

pytestmark = pytest.mark.vectors

FOLDER = Path(__file__).parents[2] / "mimo" / "embedding" / "model"
REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
TEXTS: list[str] = REFERENCE["texts"]
VECTORS = np.frombuffer(base64.b64decode(REFERENCE["vectors"]), "<f4").reshape(len(TEXTS), 384)
LEVELS = ["numpy", *(_core.isas() if _core and _encoder else ())]
WEIGHTS = Weights(FOLDER / "weights.safetensors")
FORWARDS = {"numpy": _numpy_encoder.Forward(WEIGHTS)} | ({"": _encoder.Forward(WEIGHTS)} if _encoder else {})


@pytest.fixture(params=LEVELS)
def encoder(request: pytest.FixtureRequest) -> Iterator[Encoder]:
    made = Encoder(FOLDER)
    made._forward = FORWARDS.get(request.param) or FORWARDS[""]
    if request.param == "numpy":
        yield made
        return
    before = _core.isa()
    _core.set_isa(request.param)
    yield made
    _core.set_isa(before)


def test_vectors_are_those_of_the_reference(encoder: Encoder) -> None:
    if _core and _core.isa() == "avx512" and not _avx512_is_real():
        some = [at for at, its in enumerate(REFERENCE["pieces"]) if len(its) < 40]  # emulated: slow
    else:
        some = list(range(len(TEXTS)))
    vectors = encoder.embed([TEXTS[at] for at in some])
    assert vectors.dtype == np.float32
    assert ((vectors * VECTORS[some]).sum(1) >= (0.9999 if _in_bf16(encoder) else 0.99999)).all()


def test_a_vector_has_length_one(encoder: Encoder) -> None:
    np.testing.assert_allclose(np.linalg.norm(encoder.embed(["", "tea", "no " * 50]), axis=1), 1, atol=1e-6)


def test_company_does_not_change_a_vector(encoder: Encoder) -> None:
    alone = encoder.embed(["Anna drinks tea."])[0]
    among = encoder.embed(["x", "Anna drinks tea.", "y " * 60, "Anna drinks tea.", "z"])
    np.testing.assert_allclose(among[1], alone, atol=2e-6)
    np.testing.assert_allclose(among[1], among[3], atol=2e-6)


def test_texts_of_every_length_come_out_right(encoder: Encoder) -> None:
    """Odd lengths leave rests in every loop over registers; the twin judges the kernels."""
    judge = _numpy_encoder.Forward(WEIGHTS)
    for length in (1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 15, 16, 17, 31, 33):
        pieces = np.arange(2000, 2000 + length, dtype=np.int32)
        starts = np.array([0, length], np.int32)
        found, right = encoder._forward.run(pieces, starts), judge.run(pieces, starts)
        if _in_bf16(encoder):
            assert (found * right).sum() >= 0.9999, length
        else:
            np.testing.assert_allclose(found, right, atol=3e-6, err_msg=str(length))


def test_a_text_beyond_the_window_is_cut(encoder: Encoder) -> None:
    pieces = encoder.pieces("river " * 300)
    np.testing.assert_array_equal(encoder.embed_pieces([pieces]), encoder.embed_pieces([pieces[:254]]))


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.embed([]).shape == (0, 384)


def test_one_string_is_not_taken_for_many(encoder: Encoder) -> None:
    with pytest.raises(TypeError, match="not one string"):
        encoder.embed("tea")


def test_it_can_be_stopped_between_batches(encoder: Encoder) -> None:
    batches = 0

    def stop() -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise InterruptedError

    long = [TEXTS[3]] * (2 * BATCH // 10)
    with pytest.raises(InterruptedError):
        encoder.embed(long, stop)
    assert batches == 2


def test_threads_share_a_model(encoder: Encoder) -> None:
    texts = [TEXTS[3:6], TEXTS[5:8], TEXTS[2:4]]
    expected = [encoder.embed(its) for its in texts]
    found: list[bool] = []

    def work(at: int) -> None:
        for _ in range(3):
            found.append(bool(np.array_equal(encoder.embed(texts[at]), expected[at])))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 9


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is resident")
def test_a_library_does_not_leave_the_whole_table_of_words_in_memory(tmp_path: Path) -> None:
    for name in ("weights.safetensors", "vocab.txt"):
        shutil.copy(FOLDER / name, tmp_path)
    encoder = Encoder(tmp_path)
    words = range(
        1_000, 30_000, 29_000 // TOKENS_HELD
    )  # from all over the table, whose pages then are all mapped
    texts = [list(words[at : at + 128]) for at in range(0, len(words), 128)]
    first = encoder.embed_pieces(texts[:1])
    some = _resident_kb(tmp_path)
    encoder.embed_pieces(texts[1:])
    assert _resident_kb(tmp_path) < some + 4_000
    np.testing.assert_array_equal(encoder.embed_pieces(texts[:1]), first)


@pytest.mark.skipif(not _encoder, reason="the twin gets what NumPy's indexing refuses by itself")
@pytest.mark.parametrize(
    ("pieces", "starts"),
    [
        ([1, 30_522], [0, 2]),
        ([1, -1], [0, 2]),
        ([1, 2], [0, 3]),
        ([1, 2], [1, 2]),
        ([1, 2], [0, 2, 2]),
        ([1] * 257, [0, 257]),
    ],
)
def test_the_kernels_are_not_given_what_they_would_trust(pieces: list[int], starts: list[int]) -> None:
    with pytest.raises(ValueError, match="must"):
        FORWARDS[""].run(np.array(pieces, np.int32), np.array(starts, np.int32))


@pytest.mark.parametrize("size", [0, 5, 100, 20_000, 45_000_000])
def test_weights_that_were_cut_short_are_refused(size: int, tmp_path: Path) -> None:
    with (FOLDER / "weights.safetensors").open("rb") as file:
        (tmp_path / "weights.safetensors").write_bytes(file.read(size))
    with pytest.raises(BadWeights):
        Weights(tmp_path / "weights.safetensors")


def test_another_models_weights_are_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "weights.safetensors", tmp_path)
    with (tmp_path / "weights.safetensors").open("r+b") as file:
        head = file.read(20_000)
        file.seek(0)
        file.write(head.replace(b'"shape":[24,1536,16]', b'"shape":[48,768,16] ', 1))
    with pytest.raises(BadWeights, match="down"):
        Weights(tmp_path / "weights.safetensors")


def test_the_shipped_files_have_their_sums() -> None:
    import hashlib

    for line in (FOLDER / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_importing_the_encoder_loads_no_model() -> None:
    program = (
        "import sys, mimo_core.encoder, mimo.embedding.box as box; box.Box();"
        "assert not {'mimo_core._encoder', 'mimo_core._numpy_encoder', 'torch', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def _in_bf16(encoder: Encoder) -> bool:
    return bool(_core) and _core.isa() == "amx" and not isinstance(encoder._forward, _numpy_encoder.Forward)


def _avx512_is_real() -> bool:
    return "avx512vnni" in Path("/proc/cpuinfo").read_text()


def _resident_kb(folder: Path) -> int:
    """How much of the files in this folder is mapped into this process."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        key, _, rest = line.partition(" ")
        if not key.endswith(":"):
            ours = str(folder) in rest
        elif ours and key == "Rss:":
            total += int(rest.split()[0])
    return total


@pytest.mark.parametrize(
    "header", [b'"abc"', b"5", b"null", b"[" * 100_000, b'{"__metadata__": {"id": "x", "window": 1e999}}']
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: bytes) -> None:
    padded = header + b" " * (-(len(header) + 8) % 64)
    (tmp_path / "weights.safetensors").write_bytes(struct.pack("<Q", len(padded)) + padded)
    with pytest.raises(BadWeights):
        Weights(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("vocabulary", [b"", b"[CLS]\n[SEP]\n[UNK]\n", b"\xff\xfe"])
def test_a_vocabulary_of_other_words_is_refused(tmp_path: Path, vocabulary: bytes) -> None:
    (tmp_path / "weights.safetensors").symlink_to(FOLDER / "weights.safetensors")
    (tmp_path / "vocab.txt").write_bytes(vocabulary)
    with pytest.raises(BadWeights):
        Encoder(tmp_path)


@pytest.mark.parametrize("piece", [-1, 30_522])
def test_a_piece_that_is_none_is_refused(piece: int) -> None:
    with pytest.raises(ValueError, match="word pieces lie between"):
        Encoder(FOLDER).embed_pieces([[piece]])
