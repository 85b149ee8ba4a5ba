"""What health says of the parts, and which of them count how much."""

from dataclasses import replace

from mimo.embedding.embedder import State as EmbedderState
from mimo.health import health
from mimo.home import Home
from mimo.storage.database import Database
from mimo.supervision.tree import Branch, State

OPEN = replace(Database(Home("/nowhere")).stats(), open=True)


def tree(child: State, error: str | None = None) -> Branch:
    one = Branch("http", None, child, 0, error, None, None)
    return Branch("mimo", "one_for_one", State.RUNNING, 0, None, None, None, (one,))


def test_all_well_is_healthy() -> None:
    told = health(OPEN, EmbedderState.READY, tree(State.RUNNING))
    assert told["status"] == "healthy"
    assert set(told["checks"].values()) == {"ok"}


def test_without_a_database_it_is_unhealthy() -> None:
    told = health(replace(OPEN, open=False), EmbedderState.READY, tree(State.RUNNING))
    assert told["status"] == "unhealthy"
    assert told["checks"]["writer"] == told["checks"]["readers"] == "down"


def test_a_full_disk_a_missing_model_or_a_child_in_trouble_is_degraded() -> None:
    assert health(replace(OPEN, full=True), EmbedderState.IDLE, tree(State.RUNNING))["status"] == "degraded"
    assert health(OPEN, EmbedderState.DOWN, tree(State.RUNNING))["status"] == "degraded"
    told = health(OPEN, EmbedderState.IDLE, tree(State.WAITING, "a bug"))
    assert told["status"] == "degraded"
    assert told["checks"]["tree"] == "not running: mimo/http"
    assert health(OPEN, EmbedderState.IDLE, tree(State.ENDED, "a bug"))["status"] == "degraded"


def test_what_was_not_meant_to_stay_may_end() -> None:
    assert health(OPEN, EmbedderState.IDLE, tree(State.ENDED))["status"] == "healthy"
