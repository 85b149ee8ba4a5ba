"""A memory in full, for who asked by its id: where it came from, what it is linked with, what befell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimo.services.memory.moments import shown
from mimo.services.memory.names import name_of
from mimo.storage.engrams.engram import Engram, Link
from mimo.storage.engrams.history import Happened, LookedUp


def looked_up_text(found: LookedUp, *, history: bool) -> str:
    text = engram_text(found.engram, found.links)
    return (
        text
        if not history
        else "\n".join([text, "history:", *(_happened_text(each) for each in found.history)])
    )


def looked_up_json(found: LookedUp, *, history: bool) -> dict[str, Any]:
    told = engram_json(found.engram, found.links)
    if history:
        told["history"] = [
            {
                "at": shown(each.at),
                "op": each.op,
                "by": each.actor,
                "before": dict(_plain(each)),
                "undone": each.undone,
            }
            for each in found.history
        ]
    return told


def cut(text: str, size: int) -> str:
    """No longer than this, and it says so."""
    if len(text) <= size:
        return text
    note = f"\n… cut at {size:,} of {len(text):,} characters; ask for fewer ids, or with a larger max_chars"
    return text[: size - len(note)] + note


def _happened_text(each: Happened) -> str:
    undone = " (undone)" if each.undone else ""
    before = "".join(f"; {name} was {value!r}" for name, value in _plain(each).items())
    return f"- {shown(each.at)} {each.op} by {each.actor or 'mimo'}{before}{undone}"


def _plain(each: Happened) -> Mapping[str, Any]:
    """What somebody who reads a history wants to know of what was before."""
    inner = {"linked", "unlinked", "extra", "content_hash", "state_since", "decay_rate", "expires_at"}
    if each.op == "tagged":
        inner |= {"content"}  # kept with what the index knows of it; the words are the same
    return {name: value for name, value in (each.before or {}).items() if name not in inner}


def engram_text(engram: Engram, links: Sequence[Link]) -> str:
    """All of it, for who asked by id."""
    head = [
        f"{name_of(engram.id)} [{engram.kind}] {shown(engram.created_at)}",
        f"namespace {engram.namespace}",
    ]
    if engram.state != "live":
        head.append(engram.state)
    head.append(f"importance {engram.importance:g}")
    if engram.protected:
        head.append("protected")
    if engram.tags:
        head.append(f"tags {', '.join(engram.tags)}")
    if engram.session is not None:
        head.append(f"session {engram.session} at {engram.position}")
    head.append(
        f"from {engram.client or 'unknown'}{f' by {engram.tool}' if engram.tool else ''} ({engram.trust})"
    )
    if engram.valid_from is not None or engram.valid_to is not None:
        since = "" if engram.valid_from is None else shown(engram.valid_from)
        head.append(f"valid {since}..{'' if engram.valid_to is None else shown(engram.valid_to)}")
    if engram.expires_at is not None:
        head.append(f"expires {shown(engram.expires_at)}")
    if engram.superseded_by is not None:
        head.append(f"replaced by {name_of(engram.superseded_by)}")
    if engram.references:
        head.append(f"references {', '.join(engram.references)}")
    if len(engram.origins) > 1:
        head.append(f"said {len(engram.origins)} times")
    if engram.access_count:
        head.append(f"used {engram.access_count} times")
    linked = [f"{name_of(link.from_id)} {link.relation} {name_of(link.to_id)}" for link in links]
    if linked:
        head.append("; ".join(linked))
    return f"{'; '.join(head)}\n{engram.content}"


def brief_json(engram: Engram) -> dict[str, Any]:
    """What a context tells of it."""
    return {
        "id": name_of(engram.id),
        "content": engram.content,
        "kind": engram.kind,
        "namespace": engram.namespace,
        "importance": engram.importance,
        "tags": list(engram.tags),
        "created_at": shown(engram.created_at),
        "source": {"client": engram.client, "trust": engram.trust},
    }


def engram_json(engram: Engram, links: Sequence[Link]) -> dict[str, Any]:
    return {
        "id": name_of(engram.id),
        "content": engram.content,
        "kind": engram.kind,
        "namespace": engram.namespace,
        "state": engram.state,
        "importance": engram.importance,
        "protected": engram.protected,
        "tags": list(engram.tags),
        "session": engram.session,
        "position": engram.position,
        "source": {"client": engram.client, "tool": engram.tool, "trust": engram.trust},
        "references": list(engram.references),
        "origins": [
            {
                "reference": origin.reference,
                "client": origin.client,
                "tool": origin.tool,
                "trust": origin.trust,
                "session": origin.session,
                "position": origin.position,
                "created_at": shown(origin.created_at),
            }
            for origin in engram.origins
        ],
        "created_at": shown(engram.created_at),
        "changed_at": shown(engram.changed_at),
        "valid_from": None if engram.valid_from is None else shown(engram.valid_from),
        "valid_to": None if engram.valid_to is None else shown(engram.valid_to),
        "expires_at": None if engram.expires_at is None else shown(engram.expires_at),
        "superseded_by": None if engram.superseded_by is None else name_of(engram.superseded_by),
        "accessed_at": shown(engram.accessed_at),
        "access_count": engram.access_count,
        "links": [
            {"from": name_of(link.from_id), "relation": link.relation, "to": name_of(link.to_id)}
            for link in links
        ],
    }
