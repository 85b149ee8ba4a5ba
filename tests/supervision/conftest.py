"""Children that write down what happens to them, and fall on request."""

from typing import Any

import pytest
import trio

from mimo.supervision import Child, Restart, SupervisionEvent


class Stage:
    """`diary` has "+name" for a child that is up and "-name" for one that has ended."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.events: list[SupervisionEvent] = []
        self._requests: dict[str, trio.Event] = {}
        self._errors: dict[str, Exception | None] = {}

    def child(
        self,
        name: str,
        restart: Restart = Restart.PERMANENT,
        *,
        fails: int = 0,
        opening: float = 0,
        closing: float = 0,
        grace: float = 5.0,
    ) -> Child:
        """Falls by itself, before it is ready, the first `fails` times."""
        left = [fails]

        async def run(*, task_status: trio.TaskStatus[Any]) -> None:
            await trio.sleep(opening)
            if left[0]:
                left[0] -= 1
                raise ValueError(f"{name} cannot start")
            self._requests[name] = trio.Event()
            self._errors[name] = None
            self.diary.append(f"+{name}")
            task_status.started()
            try:
                await self._requests[name].wait()
                error = self._errors[name]
                if error is not None:
                    raise error
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(closing)
                self.diary.append(f"-{name}")

        return Child(name, run, restart, grace)

    def fell(self, name: str, error: Exception | None = None) -> None:
        self._errors[name] = error or ValueError(f"{name} fell")
        self._requests[name].set()

    def returned(self, name: str) -> None:
        self._requests[name].set()

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def stage() -> Stage:
    return Stage()
