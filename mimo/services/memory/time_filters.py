"""What the `time` of a search means: understood as a whole, or not at all.

A part of it would be another time than the caller's, and nobody would see that. All in UTC; both ends of a
range belong to it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mimo.services.memory.times import DAYS, EXPRESSION, MONTHS, Span, bounds, ms_of, whole_month

FORMS = (
    "yesterday, last week, 3 days ago, last 2 months, since March, before 2031, 7 May 2031, 2031-05-23,"
    " Q3 2031, from March to May, 2031-03-01..2031-04-15"
)
LONGEST = 100

_BETWEEN = re.compile(r"between (?P<one>.+) and (?P<other>.+)", re.IGNORECASE)
_FROM_TO = re.compile(r"(?:from )?(?P<one>.+?) (?:to|until|till|through|-|–|—) (?P<other>.+)", re.IGNORECASE)
_DOTS = re.compile(r"(?P<one>.*?) ?(?:\.\.\.?|…|/) ?(?P<other>.*)")
_YEARS = re.compile(r"(?P<one>[0-9]{4})[-–](?P<other>[0-9]{4})")
_OPEN = re.compile(r"(?P<way>since|after|from|before|until|till|up to|through) (?P<point>.+)", re.IGNORECASE)
_AROUND = re.compile(r"(?:in|on|during|within|over|at|of|for) (?=.)", re.IGNORECASE)
_QUARTER = re.compile(
    r"(?:the )?(?:q(?P<n1>[1-4])(?:[ ,/]{0,2}(?P<y1>[0-9]{4}))?|(?P<y2>[0-9]{4})[ -]?q(?P<n2>[1-4])"
    r"|(?P<which>last|previous|this|next) quarter"
    r"|(?P<n3>first|second|third|fourth|last|[1-4](?:st|nd|rd|th)) quarter(?: (?:of )?(?P<y3>[0-9]{4}))?)",
    re.IGNORECASE,
)
_ORDER = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": 4}
_TO_COME = re.compile(rf"(?:the )?next (?P<unit>week|month|year|{'|'.join(DAYS)})", re.IGNORECASE)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}(?::?[0-9]{2}){0,2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9:]{2,5})?"
)
_HOUR = timedelta(hours=1)
_Bounds = tuple[datetime, datetime]


def span_of(text: str, now: datetime) -> Span | None:
    """The time that a filter means, as seen from `now`; None if there is a word in it that is not understood."""
    said = " ".join(text.split()).rstrip(",;!?")
    said = said if said.endswith("..") else said.rstrip(".")
    if not said or len(said) > LONGEST:
        return None
    try:
        span = _range(said, now) or _open(said, now) or _closed(said, now)
    except (ValueError, OverflowError):  # 31 February, or a time before all times
        return None
    if span is None or (span.since is not None and span.until is not None and span.since >= span.until):
        return None
    return span


def _range(said: str, now: datetime) -> Span | None:
    for form in (_BETWEEN, _YEARS, _DOTS, _FROM_TO):
        match = form.fullmatch(said)
        if match is None:
            continue
        one, other = match["one"], match["other"]
        until = _point(other, now)
        if not one or not other:  # 2031-03-01.. and its mirror image
            since = _point(one, now)
            return None if since is until is None else _span(since and since[0], until and until[1])
        if until is None:
            continue
        # "November to February" is the November before it, and "March to May 2025" is one of 2025.
        seen = until[1] - timedelta(milliseconds=1) if _floats(one) else now
        since = _point(one, seen)
        if since is not None:
            return _span(since[0], until[1])
    return None


def _open(said: str, now: datetime) -> Span | None:
    match = _OPEN.fullmatch(said)
    point = None if match is None else _point(match["point"], now)
    if match is None or point is None:
        return None
    match match["way"].lower():
        case "since" | "from":
            return _span(point[0], None)
        case "after":
            return _span(point[1], None)
        case "before":
            return _span(None, point[0])
        case _:
            return _span(None, point[1])


def _closed(said: str, now: datetime) -> Span | None:
    around = _AROUND.match(said)
    said = said[around.end() :] if around else said
    point = _point(said, now)
    if point is None:
        return None
    if point[0] == point[1]:  # an instant, which is hardly meant to the second
        return _span(point[0] - _HOUR, point[1] + _HOUR)
    return _span(*point)


def _point(said: str, now: datetime) -> _Bounds | None:
    """From when until when something lasts that is called by its name. Raises: ValueError: there is none."""
    low = said.lower().removeprefix("the ")
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if low == "now":
        return now, now
    if low == "tomorrow":
        return today + timedelta(1), today + timedelta(2)
    if low in {"this afternoon", "this evening"}:
        return today, today + timedelta(1)
    if low == "last night":
        return today - timedelta(hours=6), today + timedelta(hours=6)
    if _INSTANT.fullmatch(said):
        at = datetime.fromisoformat(said)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return at, at
    if quarter := _QUARTER.fullmatch(said):
        return _quarter(quarter, today)
    if to_come := _TO_COME.fullmatch(said):
        return _to_come(to_come["unit"].lower(), today)
    # "May" alone is a word of its own in a question, but no other thing in a filter.
    match = EXPRESSION.fullmatch(f"in {low}" if low in MONTHS else said)
    if match is None or match["since"] or match["before"]:
        return None
    return bounds(match, now)


def _floats(said: str) -> bool:
    """Is it the name of a day or a month of no particular year or week?"""
    match = EXPRESSION.fullmatch(f"in {said}" if said.lower() in MONTHS else said)
    if match is None:
        return False
    named = match["d1"] or match["d2"] or match["m3"] or match["weekday"]
    return bool(named) and not (match["y1"] or match["y2"] or match["y3"])


def _quarter(match: re.Match[str], today: datetime) -> _Bounds:
    if match["which"]:
        number = today.year * 4 + (today.month - 1) // 3
        number += {"this": 0, "next": 1}.get(match["which"].lower(), -1)
        year, quarter = number // 4, number % 4 + 1
    else:
        told = (match["n1"] or match["n2"] or match["n3"]).lower()
        quarter = _ORDER.get(told) or int(told[0])
        said = match["y1"] or match["y2"] or match["y3"]
        year = int(said) if said else today.year - (quarter > (today.month + 2) // 3)
    return whole_month(year, quarter * 3 - 2)[0], whole_month(year, quarter * 3)[1]


def _to_come(unit: str, today: datetime) -> _Bounds:
    monday = today - timedelta(today.weekday())
    if unit == "week":
        return monday + timedelta(7), monday + timedelta(14)
    if unit == "month":
        return whole_month(today.year + today.month // 12, today.month % 12 + 1)
    if unit == "year":
        return whole_month(today.year + 1, 1)[0], whole_month(today.year + 1, 12)[1]
    day = today + timedelta((DAYS[unit] - today.weekday() - 1) % 7 + 1)
    return day, day + timedelta(1)


def _span(since: datetime | None, until: datetime | None) -> Span:
    return Span(None if since is None else ms_of(since), None if until is None else ms_of(until))
