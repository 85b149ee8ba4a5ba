"""Word pieces are those of the reference, for any text."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo_core.wordpiece import MOST_WORDS, WordPiece

VOCABULARY = Path(__file__).parents[2] / "mimo" / "embedding" / "model" / "vocab.txt"
OURS = WordPiece(VOCABULARY)
REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
MARKS = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"]

# What trips a tokenizer: bits of words, marks that change case, join, combine, turn direction or mean nothing.
TORTURE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "un",
                "affable",
                "##ing",
                "İ",
                "ß",
                "ﬁ",
                "Σ",
                "e\u0301",
                "한국",
                "中",
                "\u3000",
                "\u200d",
                "\x85",
            ]
        ),
        st.sampled_from(
            list(
                "\x00\t\n\r\x0b \u00a0\u00ad\u180e\u2028\ufeff\ufffd\u037e\u1fef'’-_.[]#\U0002b820\U000e0041"
            )
        ),
        st.characters(exclude_categories=["Cs"]),
        st.text("abcdefg", min_size=1, max_size=8),
    )
).map("".join)


@pytest.fixture(scope="module")
def reference():
    """Hugging Face's own, made from the same vocabulary."""
    tokenizers = pytest.importorskip(
        "tokenizers", reason="the oracle is not installed; the recorded pieces still are"
    )
    made = tokenizers.BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)
    return lambda text: made.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("at", range(len(REFERENCE["texts"])))
def test_recorded_texts_have_the_recorded_pieces(at: int) -> None:
    assert OURS.pieces(REFERENCE["texts"][at]) == REFERENCE["pieces"][at]


@given(TORTURE)
@settings(max_examples=300, deadline=None)
def test_any_text_has_the_pieces_of_the_reference(reference, text: str) -> None:
    """Invariant: for all text without the model's own marks, ours == the reference."""
    if not any(mark in text for mark in MARKS):
        assert OURS.pieces(text) == reference(text)


def test_every_character_is_treated_as_the_reference_treats_it(reference) -> None:
    codes = [*range(0xD800), *range(0xE000, 0xE010), *range(0xF8F0, 0x30000), *range(0xE0000, 0xF0010)]
    for first in range(0, len(codes), 1024):
        text = " ".join(f"a{chr(code)}b" for code in codes[first : first + 1024])
        assert OURS.pieces(text) == reference(text), hex(codes[first])


def test_the_marks_of_the_model_in_a_text_are_text(reference) -> None:
    """Wanted otherwise than in the reference, where a text can end itself."""
    assert OURS.pieces("[SEP]") == OURS.pieces("[ sep ]")
    assert OURS.end not in OURS.pieces("a [SEP] b")
    assert reference("[SEP]") == [OURS.end]


def test_half_a_character_is_no_text() -> None:
    assert OURS.pieces("a\ud800b") == OURS.pieces("ab")


def test_a_word_that_is_too_long_is_unknown() -> None:
    assert OURS.pieces("a" * 101) == [OURS.unknown]
    assert OURS.unknown not in OURS.pieces("a" * 100)


def test_a_flood_of_different_words_is_not_kept() -> None:
    ours = WordPiece(VOCABULARY)
    ours.pieces(" ".join(f"w{number}" for number in range(MOST_WORDS + 500)))
    assert len(ours._words) <= MOST_WORDS
