"""When a question asks about: "yesterday", "last week", "3 days ago", "since March", "on 7 May 2023".

A span is half open and in UTC. What is not understood is no time: the words of a question are never refused.
What a filter says is another matter (`time_filters.py`): it is understood as a whole, or not at all.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
            "september sep sept", "october oct", "november nov", "december dec",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
DAYS = {
    name: number
    for number, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())
}
NUMBERS = {
    name: number for number, name in enumerate("zero one two three four five six seven eight nine ten".split())
} | {"a": 1, "an": 1, "couple": 2, "few": 3}  # fmt: skip
UNITS = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30.44, "year": 365.25}

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_UNIT = "|".join(UNITS)
_NUMBER = r"[0-9]{1,4}|" + "|".join(NUMBERS)
# Every repetition is bounded and no two of them can share a character, so the time is linear in the text.
EXPRESSION = re.compile(
    rf"""\b(?:(?P<since>since|after|from)\s|(?P<before>before|until|till)\s|(?:in|on|during|at|of)\s)?(?:the\s)?(?:
    (?P<iso>[0-9]{{4}}-[0-9]{{2}}(?:-[0-9]{{2}})?)(?![0-9])(?:T[0-9:.]{{2,15}}Z?)?
    |(?P<d1>[0-9]{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?(?P<m1>{_MONTH})\b\.?,?(?:\s(?P<y1>[0-9]{{4}})\b)?
    |(?P<m2>{_MONTH})\b\.?\s(?P<d2>[0-9]{{1,2}})(?:st|nd|rd|th)?\b(?![0-9])(?:,?\s(?P<y2>[0-9]{{4}})\b)?
    |(?P<m3>{_MONTH})\b,?(?:\s(?P<y3>[0-9]{{4}})\b)?
    |(?P<near>today|yesterday|tonight|this\smorning|day\sbefore\syesterday)\b
    |(?P<count>{_NUMBER})\s(?:of\s)?(?P<unit>{_UNIT})s?\s(?P<way>ago)\b
    |(?P<which>last|past|this|previous)\s(?:(?P<count2>{_NUMBER})\s)?(?P<unit2>{_UNIT}|weekend|{"|".join(DAYS)})s?\b
    |(?P<weekday>{"|".join(DAYS)})\b
    |(?P<year>(?:19|20)[0-9]{{2}})\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_DAY_MS = 86_400_000
_YEAR_MS = 31_556_952_000
LONGEST = 4_000  # characters of a question that are looked through


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` to just before `until`, in milliseconds since 1970. None is open."""

    since: int | None
    until: int | None
    any_year: bool = False  # "7 May" was said, and the year is a guess

    def nearness(self, moment: int) -> float:
        """How well something that was said at `moment` fits: 1 on the very day, less for a wider span.

        What is told is often told some days after it was, so the week behind a span counts half.
        """
        if self.since is None or self.until is None:
            begun = self.since is None or moment >= self.since
            return 0.3 if begun and (self.until is None or moment < self.until) else 0.0
        if self.any_year:
            moment += round((self.since - moment) / _YEAR_MS) * _YEAR_MS
        days = (self.until - self.since) / _DAY_MS
        weight = 1.0 if days <= 3 else 0.7 if days <= 45 else 0.2
        if self.since <= moment < self.until:
            return weight
        return weight / 2 if self.until <= moment < self.until + 8 * _DAY_MS else 0.0


def spans_in(text: str, now: datetime) -> Iterator[Span]:
    """The times that a text speaks of, as seen from `now`."""
    for match in EXPRESSION.finditer(re.sub(r"\s+", " ", text[:LONGEST])):
        try:
            span = bounds(match, now)
        except (ValueError, OverflowError):  # 31 February, or a time before all times
            continue
        if span is None:
            continue
        start, end = span
        if match["since"]:
            yield Span(ms_of(start), None)
        elif match["before"]:
            yield Span(None, ms_of(start))
        else:
            named = match["d1"] or match["d2"] or match["m3"]
            yield Span(
                ms_of(start), ms_of(end), bool(named) and not (match["y1"] or match["y2"] or match["y3"])
            )


def bounds(match: re.Match[str], now: datetime) -> tuple[datetime, datetime] | None:
    """From when until when an expression lasts. Raises: ValueError, OverflowError: there is no such time."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if match["iso"]:
        year, month, *day = map(int, match["iso"].split("-"))
        return _day(year, month, day[0]) if day else whole_month(year, month)
    for n in "12":
        if match[f"d{n}"]:
            month = MONTHS[match[f"m{n}"].lower()]
            year = (
                int(match[f"y{n}"]) if match[f"y{n}"] else _last_year_with(month, int(match[f"d{n}"]), today)
            )
            return _day(year, month, int(match[f"d{n}"]))
    if match["m3"]:
        return _named_month(match, today)
    if match["near"]:
        back = {"yesterday": 1, "day before yesterday": 2}.get(match["near"].lower(), 0)
        return today - timedelta(back), today - timedelta(back - 1)
    if match["count"]:
        return _ago(match["count"], match["unit"], now)
    if match["which"]:
        return _recent(match, now, today)
    if match["weekday"]:
        day = today - timedelta((today.weekday() - DAYS[match["weekday"].lower()]) % 7)
        return day, day + timedelta(1)
    year = int(match["year"])
    return _day(year, 1, 1)[0], _day(year + 1, 1, 1)[0]


def _named_month(match: re.Match[str], today: datetime) -> tuple[datetime, datetime] | None:
    name = match["m3"].lower()
    # "may", "march" and "mar" are words of their own: they are months when a preposition or a year stands beside.
    if name in {"may", "march", "mar", "sep", "dec", "jan"} and not match["y3"] and match[0].lower() == name:
        return None
    month = MONTHS[name]
    return whole_month(int(match["y3"]) if match["y3"] else _last_year_with(month, 1, today), month)


def _ago(count: str, unit: str, now: datetime) -> tuple[datetime, datetime]:
    days = _number(count) * UNITS[unit.lower()]
    about = now - timedelta(days)
    if unit.lower() == "hour":
        return about - timedelta(hours=1), about + timedelta(hours=1)
    day = about.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # "two months ago" is not said to the day: a quarter of the unit to each side.
    loose = timedelta(int(UNITS[unit.lower()] / 4))
    return day - loose, day + timedelta(1) + loose


def _recent(match: re.Match[str], now: datetime, today: datetime) -> tuple[datetime, datetime]:
    unit, this = match["unit2"].lower(), match["which"].lower() == "this"
    if match["count2"] or match["which"].lower() == "past":
        return now - timedelta(_number(match["count2"] or "1") * UNITS.get(unit, 7)), now
    if unit in DAYS:
        day = today - timedelta((today.weekday() - DAYS[unit] - 1) % 7 + 1)
        return day, day + timedelta(1)
    monday = today - timedelta(today.weekday())
    if unit == "week":
        return (monday, monday + timedelta(7)) if this else (monday - timedelta(7), monday)
    if unit == "weekend":
        saturday = monday + timedelta(5 if this or today.weekday() > 5 else -2)
        return saturday, saturday + timedelta(2)
    if unit == "month":
        month = today.year * 12 + today.month - 1 - (0 if this else 1)
        return whole_month(month // 12, month % 12 + 1)
    if unit == "year":
        year = today.year - (0 if this else 1)
        return _day(year, 1, 1)[0], _day(year + 1, 1, 1)[0]
    span = timedelta(UNITS[unit])
    return (now - span, now) if unit == "hour" else (today - span, today) if not this else (today, now)


def _number(text: str) -> int:
    return NUMBERS.get(text.lower(), 0) or int(text if text.isascii() and text.isdigit() else 0)


def _day(year: int, month: int, day: int) -> tuple[datetime, datetime]:
    start = datetime(year, month, day, tzinfo=UTC)
    return start, start + timedelta(1)


def whole_month(year: int, month: int) -> tuple[datetime, datetime]:
    start = datetime(year, month, 1, tzinfo=UTC)
    return start, start + timedelta(monthrange(year, month)[1])


def _last_year_with(month: int, day: int, today: datetime) -> int:
    """The year of the last such date that is not to come."""
    return today.year if (month, day) <= (today.month, today.day) else today.year - 1


def ms_of(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
