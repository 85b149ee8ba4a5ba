"""What `mimo skill` asks of the running daemon. Only over its own socket: whoever names a command to start can do anything."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

import trio

from mimo.errors import InvalidArguments, MimoError, NotFound
from mimo.services.skills import configuration
from mimo.services.skills.fields import schema
from mimo.services.skills.news import SkillsReloaded
from mimo.services.skills.skill import Skill
from mimo.tool import Json, JsonObject


class Kept(Protocol):
    """All skills, as far as they are controlled."""

    path: str
    problem: str

    @property
    def skills(self) -> Mapping[str, Skill]: ...
    async def reload(self) -> SkillsReloaded: ...
    def approve(self, skill: Skill, *tools: str) -> None: ...


class Controls:
    def __init__(self, skills: Kept) -> None:
        self._skills = skills

    async def answer(self, method: str, params: JsonObject) -> Json:
        match method:
            case "list":
                return self._list()
            case "test":
                return await self._test(self._named(params))
            case "logs":
                return {"lines": list(self._named(params).words.lines)}
            case "reload":
                return await self._reload()
            case "approve":
                return self._approve(self._named(params), params)
            case "schema":
                return schema()
            case _:
                return await self._check()

    def _named(self, params: JsonObject) -> Skill:
        name = params.get("name")
        if not isinstance(name, str):
            raise InvalidArguments("name must be text")
        if name not in self._skills.skills:
            known = ", ".join(self._skills.skills) or "none"
            raise NotFound(f"no skill {name[:70]!r} is enabled in {self._skills.path}; there are: {known}")
        return self._skills.skills[name]

    def _list(self) -> Json:
        return {
            "path": self._skills.path,
            "problem": self._skills.problem,
            "skills": [_shown(each) for each in self._skills.skills.values()],
        }

    async def _test(self, skill: Skill) -> Json:
        """Start it if it sleeps, and have it answer once."""
        began = time.perf_counter()
        try:
            link = await skill.connected()
            with trio.move_on_after(skill.patience.call) as deadline:
                await link.everything("tools/list", "tools")
            problem = (
                f"it did not list its tools within {skill.patience.call:g} s"
                if deadline.cancelled_caught
                else ""
            )
        except MimoError as error:
            problem = error.message
        return {
            **_shown(skill),
            "ok": not problem,
            "problem": problem,
            "seconds": round(time.perf_counter() - began, 3),
            "names": [str(tool.get("name")) for tool in skill.kept.tools],
        }

    async def _reload(self) -> Json:
        told = await self._skills.reload()
        if told.problem:
            raise InvalidArguments(f"nothing was changed: {told.problem}")
        return {"started": list(told.started), "changed": list(told.changed), "gone": list(told.gone)}

    def _approve(self, skill: Skill, params: JsonObject) -> Json:
        tool: Any = params.get("tool")
        changed = skill.kept.changed
        if tool is not None and tool not in changed:
            raise NotFound(f"{tool!r} waits for no approval; changed are: {', '.join(changed) or 'none'}")
        self._skills.approve(skill, *([tool] if tool else changed))
        return {"approved": [tool] if tool else changed}

    async def _check(self) -> Json:
        try:
            found = await trio.to_thread.run_sync(configuration.read, self._skills.path)
        except configuration.Faulty as error:
            return {"problems": [{"place": each.place, "text": each.text} for each in error.problems]}
        return {"problems": [], "skills": list(found)}


def _shown(skill: Skill) -> dict[str, Json]:
    kept = skill.kept
    return {
        "name": skill.name,
        "state": skill.state,
        "start": skill.declared.shown,
        "prefix": skill.declared.prefix,
        "exposed": skill.declared.expose,
        "era": kept.era,
        "server": dict(kept.server),
        "tools": len(kept.tools),
        "resources": len(kept.resources) + len(kept.templates),
        "prompts": len(kept.prompts),
        "changed": kept.changed,
        "withheld": skill.declared.approve,
        "calls": skill.calls,
        "breaker": skill.breaker.state.value,
        "last_error": skill.last_error,
    }
