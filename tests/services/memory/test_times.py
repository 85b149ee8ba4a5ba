"""What a question means by "last week"."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.services.memory.times import Span, spans_in

NOW = datetime(2023, 10, 18, 15, tzinfo=UTC)  # a Wednesday


def dates(text: str) -> tuple[str | None, str | None]:
    span = next(spans_in(text, NOW))
    begin, end = (
        None if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"
        for ms in (span.since, span.until)
    )
    return begin, end


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("what happened yesterday", "2023-10-17", "2023-10-18"),
        ("last week", "2023-10-09", "2023-10-16"),
        ("this week", "2023-10-16", "2023-10-23"),
        ("3 days ago", "2023-10-15", "2023-10-16"),
        ("since March", "2023-03-01", None),
        ("before June 2023", None, "2023-06-01"),
        ("on 7 May 2023", "2023-05-07", "2023-05-08"),
        ("July 3rd, 2022", "2022-07-03", "2022-07-04"),
        ("in december", "2022-12-01", "2023-01-01"),
        ("2023-05", "2023-05-01", "2023-06-01"),
        ("since 2023-01-02T10:00:00Z", "2023-01-02", None),
        ("in 2022", "2022-01-01", "2023-01-01"),
        ("last friday", "2023-10-13", "2023-10-14"),
        ("last 3 days", "2023-10-15", "2023-10-18"),
        ("last month", "2023-09-01", "2023-10-01"),
        ("last year", "2022-01-01", "2023-01-01"),
    ],
)
def test_a_time_is_understood_as_people_mean_it(text: str, begin: str | None, end: str | None) -> None:
    assert dates(text) == (begin, end)


@pytest.mark.parametrize(
    "text", ["may I come in", "31 February", "99999 days ago", "9999 years ago", "", "march on"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert list(spans_in(text, NOW)) == []


def test_a_day_without_a_year_is_near_that_day_of_any_year() -> None:
    (span,) = spans_in("on 7 May", NOW)
    assert span.any_year
    assert span.nearness(int(datetime(2019, 5, 7, 12, tzinfo=UTC).timestamp() * 1000)) == 1.0
    assert span.nearness(int(datetime(2019, 6, 20, tzinfo=UTC).timestamp() * 1000)) == 0.0


def test_what_is_told_some_days_later_counts_half() -> None:
    span = Span(0, 86_400_000)
    assert (span.nearness(5), span.nearness(3 * 86_400_000), span.nearness(-1)) == (1.0, 0.5, 0.0)


@given(st.text(max_size=200) | st.text("lastweek 0123-9agoyrsmonthd", max_size=200))
def test_any_text_gives_spans_that_begin_before_they_end(text: str) -> None:
    for span in spans_in(text, NOW):
        assert span.since is None or span.until is None or span.since < span.until


@pytest.mark.parametrize("piece", ["1 ", "last ", "the ", "1 of ", "2023-", "may ", "99999999", " \n\t"])
def test_the_time_it_takes_is_linear(piece: str) -> None:
    begun = time.perf_counter()
    list(spans_in(piece * (100_000 // len(piece)), NOW))
    assert time.perf_counter() - begun < 0.5  # quadratic would be minutes
