"""What `time` narrows a search to; and what is not understood as a whole narrows it to nothing else."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.services.memory.time_filters import FORMS, span_of

NOW = datetime(2026, 11, 21, 16, tzinfo=UTC)  # a Saturday


def written(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M}".removesuffix("T00:00")


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("yesterday", "2026-11-20", "2026-11-21"),
        (" Yesterday. ", "2026-11-20", "2026-11-21"),
        ("the day before yesterday", "2026-11-19", "2026-11-20"),
        ("tomorrow", "2026-11-22", "2026-11-23"),
        ("last week", "2026-11-09", "2026-11-16"),
        ("next week", "2026-11-23", "2026-11-30"),
        ("next month", "2026-12-01", "2027-01-01"),
        ("next Saturday", "2026-11-28", "2026-11-29"),
        ("in the last 3 days", "2026-11-18T16:00", "2026-11-21T16:00"),
        ("last night", "2026-11-20T18:00", "2026-11-21T06:00"),
        ("2 hours ago", "2026-11-21T13:00", "2026-11-21T15:00"),
        ("may", "2026-05-01", "2026-06-01"),
        ("7 May 2023", "2023-05-07", "2023-05-08"),
        ("2026-11-20T10:00:00Z", "2026-11-20T09:00", "2026-11-20T11:00"),
        ("since 2026-11-20T10:00+02:00", "2026-11-20T08:00", None),
        ("since March", "2026-03-01", None),
        ("from 2031", "2031-01-01", None),
        ("after 2023-05-07", "2023-05-08", None),
        ("before March", None, "2026-03-01"),
        ("until yesterday", None, "2026-11-21"),
        ("Q3 2026", "2026-07-01", "2026-10-01"),
        ("in 2026-Q1", "2026-01-01", "2026-04-01"),
        ("q4", "2026-10-01", "2027-01-01"),
        ("since Q1", "2026-01-01", None),
        ("the third quarter of 2025", "2025-07-01", "2025-10-01"),
        ("last quarter", "2026-07-01", "2026-10-01"),
        ("last quarter of 2025", "2025-10-01", "2026-01-01"),
        ("2026-03-01..2026-04-01", "2026-03-01", "2026-04-02"),
        ("2026-03-01 to 2026-04-01", "2026-03-01", "2026-04-02"),
        ("2026-03-01/2026-04-01", "2026-03-01", "2026-04-02"),
        ("2026-03-01T10:00..2026-03-01T11:30", "2026-03-01T10:00", "2026-03-01T11:30"),
        ("2026-03..", "2026-03-01", None),
        ("..2026-03", None, "2026-04-01"),
        ("2024-2026", "2024-01-01", "2027-01-01"),
        ("Q1 2025 - Q2 2025", "2025-01-01", "2025-07-01"),
        ("between March and May", "2026-03-01", "2026-06-01"),
        ("from March to May 2025", "2025-03-01", "2025-06-01"),
        ("from November to February", "2025-11-01", "2026-03-01"),
        ("Monday to Wednesday", "2026-11-16", "2026-11-19"),
        ("3 days ago to yesterday", "2026-11-18", "2026-11-21"),
    ],
)
def test_a_filter_is_understood_as_people_mean_it(text: str, since: str | None, until: str | None) -> None:
    span = span_of(text, NOW)
    assert span is not None
    assert (written(span.since), written(span.until)) == (since, until)


@pytest.mark.parametrize("form", FORMS.split(", "))
def test_the_forms_that_are_told_are_understood(form: str) -> None:
    assert span_of(form, NOW) is not None


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", " to ", "gibberish", "what happened yesterday", "yesterday evening", "last week or so",
        "last summer", "in May or June", "May 2026 in Berlin", "Q5 2026", "Q3 2026 and later", "2026-13-45",
        "2026-02-30", "30 Feb 2026", "2026-03-01..then", "then..2026-03-01", "2026-05-01..2026-03-01", "1 to 2",
        "99999999 days ago", "9999 years ago", "last 9999 years", "vor 3 Tagen", "since", "2026-11-20T25:00",
        "since before March", "between March", "yesterday" * 100,
    ],
)  # fmt: skip
def test_what_is_not_understood_as_a_whole_is_no_time(text: str) -> None:
    assert span_of(text, NOW) is None


PIECES = st.sampled_from(
    "yesterday last week 3 days ago since from to between and .. / - march may q3 quarter of 2026 2026-03-01 next the".split()
)


@given(st.text(max_size=120) | st.lists(PIECES, max_size=7).map(" ".join))
def test_any_text_is_a_span_that_begins_before_it_ends_or_none(text: str) -> None:
    span = span_of(text, NOW)
    if span is not None and span.since is not None and span.until is not None:
        assert span.since < span.until


@pytest.mark.parametrize("piece", ["to ", ".. ", "a.", "between and ", "2026-", "last ", "/"])
def test_the_time_it_takes_is_bounded(piece: str) -> None:
    begun = time.process_time()
    for length in (100, 200):  # a filter has at most 200 characters
        span_of(piece * (length // len(piece)), NOW)
    assert time.process_time() - begun < 0.1
