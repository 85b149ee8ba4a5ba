"""Undo takes back what its caller did last, wherever that was, and nobody else's doing."""

from __future__ import annotations

from typing import Any

import pytest

from mimo.errors import Conflict, InvalidArguments
from mimo.tool import Client

OTHER = Client(name="other", namespace="proj")


async def one(memory: Any, id_: str, **more: Any) -> Any:
    return (await memory.data("memory_get", ids=[id_], **more))["results"][0]


async def undone(memory: Any, client: Client | None = None, **more: Any) -> str:
    return (await memory.call("memory_edit", client, action="undo", **more)).as_text()


async def test_what_was_done_in_another_namespace_is_taken_back_first(memory: Any) -> None:
    await memory.add("The safe code is in the red book", namespace="user")
    there = await memory.add("Note of another project", namespace="elsewhere")
    said = await memory.text("memory_edit", action="forget", ids=[there])
    assert said == 'forgot m2\nIt can be taken back: action="undo" namespace="elsewhere".'
    assert await undone(memory) == "restored m2 (it was forgotten)"
    assert [(await one(memory, id_))["state"] for id_ in ("m1", "m2")] == ["live", "live"]


async def test_the_namespace_that_is_named_is_the_only_one(memory: Any) -> None:
    here = await memory.add("Here")
    there = await memory.add("There", namespace="elsewhere")
    await memory.call("memory_edit", action="forget", ids=[here])
    await memory.call("memory_edit", action="forget", ids=[there])
    assert await undone(memory, namespace="proj") == "restored m1 (it was forgotten)"
    assert await undone(memory, namespace="elsewhere") == "restored m2 (it was forgotten)"


async def test_the_doings_of_other_clients_are_left_alone(memory: Any) -> None:
    mine = await memory.add("Home note about cats")
    await memory.call("memory_edit", action="forget", ids=[mine])
    await memory.call("memory_add", OTHER, content="Their note on horses")
    assert await undone(memory) == "restored m1 (it was forgotten)"
    assert (await undone(memory)).startswith("forgot m1")
    assert (await undone(memory)).startswith("nothing to undo")
    assert (await one(memory, "m2"))["state"] == "live"


@pytest.mark.parametrize(
    "other",
    [
        Client(name="other", namespace="proj"),
        Client(name="tester", namespace="another-project"),
        Client(name="tester", namespace="proj", session="another window"),
        Client(name="tester", namespace="proj", key="k1"),
    ],
    ids=["name", "project", "session", "key"],
)
async def test_who_has_done_nothing_takes_nothing_back(memory: Any, other: Client) -> None:
    await memory.add("Steady")
    assert (await undone(memory, other)).startswith("nothing to undo")
    assert await memory.found("steady") == ["Steady"]


async def test_a_person_takes_back_what_they_did_in_another_folder(memory: Any) -> None:
    here, there = Client(name="cli", namespace="a"), Client(name="cli", namespace="b", session="s")
    await memory.call("memory_add", here, content="Typed here")
    said = (await memory.call("memory_edit", here, action="forget", ids=["m1"])).as_text()
    assert said == "forgot m1\nIt can be taken back: mimo undo"
    assert await undone(memory, there) == "restored m1 (it was forgotten)"


async def test_whose_word_it_was_does_not_matter(memory: Any) -> None:
    """A client adds what others have said: it is its own doing all the same."""
    await memory.add("Said by a person", source={"client": "a person", "trust": "user"})
    assert (await undone(memory)).startswith("forgot m1")


async def test_what_others_changed_since_is_not_taken_back_with_it(memory: Any) -> None:
    await memory.add("The port is 80")
    await memory.call("memory_edit", OTHER, action="update", ids=["m1"], content="The port is 8080")
    with pytest.raises(Conflict, match="m1 was changed since by other \\(updated\\)"):
        await undone(memory)
    assert await memory.found("port") == ["The port is 8080"]
    assert await undone(memory, OTHER) == "as before m1 (it was updated)"
    assert (await undone(memory)).startswith("forgot m1")


async def test_a_namespace_goes_with_undo_only(memory: Any) -> None:
    id_ = await memory.add("Steady")
    with pytest.raises(InvalidArguments, match="namespace goes with undo"):
        await memory.call("memory_edit", action="forget", ids=[id_], namespace="proj")
