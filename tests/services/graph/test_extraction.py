"""What a text says by the form of its sentences; and, more important, what it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.services.graph.extraction import FORMS, MOST_FACTS, extracted


def said(text: str, about: str | None = None) -> list[tuple[str, str, str]]:
    return [(each.subject, each.predicate, each.object) for each in extracted(text, about)]


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("Ann reports to Bob.", ["Ann reports_to Bob"]),
        ("The API depends on the database.", ["API depends_on database"]),
        ("The API relies on Redis!", ["API depends_on Redis"]),
        ("Redis is required by the API.", ["API requires Redis"]),
        ("Git is used by Ann and Bob.", ["Ann uses Git", "Bob uses Git"]),
        ("Atlas was founded by Ann.", ["Atlas created_by Ann"]),
        ("Ann wrote Emma.", ["Emma authored_by Ann"]),
        ("Zed is a service.", ["Zed is_a service"]),
        ("Postgres is a database written in C.", ["Postgres is_a database"]),
        ("A whale is a kind of mammal.", ["whale subclass_of mammal"]),
        ("Kafka is the queue of Atlas.", ["Atlas queue Kafka"]),
        ("The owner of Atlas is Ann.", ["Atlas owned_by Ann"]),
        ("Atlas's owner is Ann.", ["Atlas owned_by Ann"]),
        ("Ann is the manager of Bob.", ["Ann manages Bob"]),
        ("API and Web depend on Redis and Git.",
         ["API depends_on Redis", "API depends_on Git", "Web depends_on Redis", "Web depends_on Git"]),
        ("Ann, Bob and Cid are members of the Platform team.",
         ["Ann member_of Platform team", "Bob member_of Platform team", "Cid member_of Platform team"]),
        ("Research and Development owns Atlas.", ["Research and Development owns Atlas"]),
        ("`mimo serve` uses SQLite.", ["mimo serve uses SQLite"]),
        ("Dr. Smith works at MIT.", ["Dr. Smith works_for MIT"]),
        ("Node.js requires OpenSSL 3.0.", ["Node.js requires OpenSSL 3.0"]),
        ("See [Docs](https://a.b/c) and ![an image](https://x/y).", ["Docs has_link https://a.b/c"]),
        ("# Atlas\n- **Owner**: Ann, Bob\nlanguage: Python",
         ["Atlas owned_by Ann", "Atlas owned_by Bob", "Atlas language Python"]),
    ],
)  # fmt: skip
def test_a_known_form_is_a_fact(sentence: str, facts: list[str]) -> None:
    assert [" ".join(each) for each in said(sentence)] == facts


@pytest.mark.parametrize(
    "sentence",
    [
        "Does the API use Redis?",
        "The API does not depend on Redis.",
        "Bob doesn't use vim.",
        "If the API depends on Redis, it fails.",
        "Maybe Ann manages Bob.",
        "We should use Git.",
        "It uses Redis.",
        "They report to Ann.",
        "The cache and it use Redis.",
        "Everything depends on Linux.",
        "The team that owns Atlas uses Git.",
        "Ann manages Bob and likes tea.",
        "Ann drinks tea and uses sugar and is happy.",
        "Ann, Bob manages Cid.",
        "Ann uses Git, which is old.",
        "Bob used to own Atlas.",
        "Zed is a bit slow.",
        "Ann thinks Bob owns Atlas.",
        "owner: Ann",  # of what?
        "| a | depends on | b |",
        "// API depends on Redis.",
        "Ann manages Ann.",
        "Note: Ann manages Bob.",
        "",
    ],
)
def test_what_does_not_claim_a_fact_says_none(sentence: str) -> None:
    assert said(sentence) == []


def test_lines_of_keys_are_of_what_the_text_is_about() -> None:
    assert said("owner: Ann", "Atlas") == [("Atlas", "owned_by", "Ann")]
    assert said("owner: Ann\n# Borealis\nowner: Bob", "Atlas") == [
        ("Atlas", "owned_by", "Ann"),
        ("Borealis", "owned_by", "Bob"),
    ]


def test_each_fact_has_its_sentence() -> None:
    found = extracted("It rained. The API depends on Redis. Ann manages Bob!")
    assert [each.sentence for each in found] == ["The API depends on Redis.", "Ann manages Bob!"]


@given(
    st.lists(st.sampled_from([
        "Ann", "Bob", "the API", "it", "depends on", "is", "a", "the", "owner", "of", "and", ",", ".", "?", "!",
        "\n", "# ", "- ", ":", "not", "manages", "`", '"', "[x](https://y)", "uses", "is used by", "'s", " ",
    ]), max_size=40).map(" ".join)
    | st.text(max_size=300)
)  # fmt: skip
def test_whatever_is_read_stands_in_the_text(text: str) -> None:
    """Names are pieces of the text, the sentence is one of its lines' parts, and no thing is related to itself."""
    flat = " ".join(text.split())
    found = extracted(text)
    assert len(found) <= MOST_FACTS
    for each in found:
        assert " ".join(each.sentence.split()) in flat or each.predicate == "has_link"
        assert each.subject in flat
        assert each.object in flat
        assert each.subject != each.object or each.predicate == "has_link"
        assert 0 < each.confidence <= 1
        assert each.predicate


@pytest.mark.parametrize(
    "text", ["a " * 30_000, "Ann, " * 10_000, "A uses " + "b, " * 60, "x" * 50_000, "(" * 50_000]
)
def test_a_long_text_takes_no_long_time(text: str) -> None:
    """By counting: a form that tries every way of reading a text would not come to an end here."""
    assert len(extracted(text)) <= MOST_FACTS


def test_the_forms_name_predicates_as_they_are_stored() -> None:
    assert all(predicate == predicate.lower().replace(" ", "_") for _, predicate, _, _ in FORMS)
