"""`max_chars` is for the whole of an answer, whatever it is made of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.services.memory.packing import most_that_fit

BUDGETS = [200, 260, 350, 477, 700, 1_000, 2_500, 5_000, 20_000, 40_000]
ASKED = {"query": "pump leaks", "namespace": "proj", "limit": 20}


async def stored(memory: Any) -> None:
    items: list[dict[str, Any]] = [
        {"content": f"Pump {n} leaks: " + f'drip{n} "\\n" ' * (60 * n), "reference": f"r{n}", "tags": ["wet"]}
        for n in range(1, 14)
    ]
    others = [{"content": f"The lamp number {n} is red"} for n in range(60)]
    await memory.call("memory_add", items=items + others)
    await memory.settled()


async def answered(memory: Any, tool: str, **arguments: Any) -> str:
    return (await memory.call(tool, **arguments)).as_text()


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("why", [False, True], ids=["", "why"])
async def test_a_list_keeps_to_it(memory: Any, budget: int, why: bool) -> None:
    await stored(memory)
    for detail in ("brief", "full"):
        for form in ("text", "json"):
            more = {"detail": detail, "format": form, "why": why, "max_chars": budget}
            text = await answered(memory, "memory_search", **ASKED, **more)
            assert len(text) <= budget, (detail, form)
            if form == "json":
                assert len(json.loads(text)["results"]) >= 1
            else:
                assert "Pump" in text


async def test_what_is_shortened_says_how_to_get_the_rest(memory: Any) -> None:
    await memory.add("The pump leaks: " + "drip " * 500)
    text = await answered(memory, "memory_search", query="pump leaks", max_chars=300, detail="full")
    assert "…" in text
    assert text.endswith("Cut with …; whole: memory_get ids=[...].")
    assert len(text) > 250
    told = json.loads(
        await answered(memory, "memory_search", query="pump leaks", max_chars=900, format="json")
    )
    (hit,) = told["results"]
    assert (hit["id"], hit["cut"], hit["content"][-1]) == ("m1", True, "…")
    assert "memory_get" in told["note"]
    (hit,) = json.loads(
        await answered(memory, "memory_search", query="pump leaks", max_chars=200, format="json")
    )["results"]
    assert hit["content"].startswith("The pump")


async def test_every_page_keeps_to_it_and_none_is_left_out(memory: Any) -> None:
    await stored(memory)
    for form in ("text", "json"):
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(30):
            more = {} if cursor is None else {"cursor": cursor}
            text = await answered(
                memory, "memory_search", **ASKED | {"limit": 5}, max_chars=3_000, format=form, **more
            )
            assert len(text) <= 3_000
            if form == "json":
                page = json.loads(text)
                seen += [hit["id"] for hit in page["results"]]
                cursor = page["cursor"]
            else:
                seen += [line.split(", ")[-1][:-1] for line in text.splitlines() if line.startswith("- [")]
                cursor = text.split('cursor="')[1].split('"')[0] if 'cursor="' in text else None
            if cursor is None:
                break
        assert len(seen) == len(set(seen)), form
        assert {f"m{number}" for number in "123456789ABCD"} <= set(seen), form


async def test_a_program_that_sets_none_gets_every_result_it_asked_for(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": f"Pump {n} " + "leaks " * 150} for n in range(40)])
    found = await memory.data("memory_search", **ASKED | {"limit": 40})
    assert len(found["results"]) == 40


@pytest.mark.parametrize("budget", [200, 300, 700])
async def test_what_says_no_keeps_to_it(memory: Any, budget: int) -> None:
    await stored(memory)
    text = await answered(
        memory,
        "memory_search",
        query="Who won the chess tournament \x01 in Reykjavik? " * 9,
        max_chars=budget,
    )
    assert text.startswith("Nothing stored about")
    assert len(text) <= budget


@pytest.mark.parametrize("budget", BUDGETS)
async def test_a_reading_keeps_to_it(memory: Any, budget: int) -> None:
    await stored(memory)
    await memory.call("memory_edit", action="update", ids=["m2"], content="Pump 2 is whole")
    ids = [f"m{n}" for n in range(1, 10)] + [f"mx{n}" for n in range(9)] + ["mA", "mB", "mC", "mD"]
    for history in (False, True):
        for form in ("text", "json"):
            asked = {"ids": ids, "history": history, "max_chars": budget, "format": form}
            text = await answered(memory, "memory_get", **asked)
            assert len(text) <= budget, form
            if form == "json":
                told = json.loads(text)
                assert len(told["results"]) >= 1
                assert all(each["content"] for each in told["results"])
                assert len(told["results"]) + told.get("left_out", 0) == 13
                assert ("note" in told) == any(each.get("cut") for each in told["results"])


async def test_a_reading_for_a_program_that_sets_none_is_whole(memory: Any) -> None:
    await memory.add("word " * 19_000)
    (got,) = (await memory.data("memory_get", ids=["m1"]))["results"]
    assert len(got["content"]) > 90_000


@given(st.integers(-3, 200), st.integers(-3, 200))
def test_the_most_that_fits_is_the_greatest_number_that_does(most: int, bound: int) -> None:
    assert most_that_fit(most, lambda n: n <= bound) == max(0, min(most, bound))
