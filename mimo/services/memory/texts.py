"""Memories as agents and people read them: a line each, an id to ask further with, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mimo.services.memory.adding import Remembered
from mimo.services.memory.found import Found, Hit
from mimo.services.memory.moments import day_of, shown
from mimo.services.memory.names import name_of

# Of a memory, in a list: enough to see whether it is the one.
BRIEF = 320


def line(hit: Hit, *, full: bool = False) -> str:
    """`- [decision] Use APSW for the store (2026-11-12, m7Z8)`"""
    text = content_of(hit, full=full)
    about = [day_of(hit.created_at), name_of(hit.id)]
    if hit.namespace == "user":
        about.insert(0, "user")
    if hit.trust == "web":
        about.append("from the web")
    if hit.state == "working":
        about.append("working memory")
    if hit.superseded_by is not None:
        about.append(f"replaced by {name_of(hit.superseded_by)}")
    return f"- [{hit.kind}] {text} ({', '.join(about)})"


def content_of(hit: Hit, *, full: bool) -> str:
    """What a line says of its text."""
    return hit.content.strip() if full else clipped(hit.content, BRIEF)


def within(text: str, size: int) -> str:
    """No longer than this, however much is lost."""
    return text if len(text) <= size else f"{text[: size - 1].rstrip()}…"


def clipped(text: str, size: int) -> str:
    """On one line, and no longer than this."""
    text = " ".join(text.split())
    return text if len(text) <= size else f"{text[: size - 1].rstrip()}…"


ENDED = "The list ends here; a narrower question or a filter finds others."


def found_text(
    query: str,
    shown_hits: Sequence[Hit],
    found: Found,
    *,
    full: bool,
    why: bool,
    cursor: str | None,
    cut: bool = False,
) -> str:
    """`cut`: some text was shortened already."""
    lines: list[str] = []
    if found.abstained:
        asked = "".join(char if char.isprintable() else " " for char in clipped(query, 80))
        lines.append(f"Nothing stored about {asked!r}.")
        if shown_hits:
            lines.append("Nearest:")
    lines += [_with_why(hit, full) if why else line(hit, full=full) for hit in shown_hits]
    if found.abstained:
        lines.append("If the user tells you, memory_add it.")
    elif not shown_hits:
        lines.append("No more.")
    if len(shown_hits) and cursor is not None:
        lines.append(f'More: cursor="{cursor}".')
    elif found.ended:
        lines.append(ENDED)
    if cut or (not full and any(len(hit.content) > BRIEF for hit in shown_hits)):
        lines.append("Cut with …; whole: memory_get ids=[...].")
    partly = ("did not run", "ran over a part")
    missing = [f"{arm}: {told}" for arm, told in found.arms.items() if told.startswith(partly)]
    lines += [f"({each})" for each in missing]
    return "\n".join(lines)


def _with_why(hit: Hit, full: bool) -> str:
    parts = sorted((hit.why or {}).items(), key=lambda part: -abs(part[1]))
    return f"{line(hit, full=full)}\n  {hit.score:.2f}: {', '.join(f'{name} {value:+.2f}' for name, value in parts)}"


def hit_json(hit: Hit, *, full: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": name_of(hit.id),
        "content": hit.content if full else clipped(hit.content, BRIEF),
        "kind": hit.kind,
        "namespace": hit.namespace,
        "score": hit.score,
        "references": list(hit.references),
        "session": hit.session,
        "position": hit.position,
        "created_at": shown(hit.created_at),
        "importance": hit.importance,
        "tags": list(hit.tags),
        "source": {"client": hit.client, "trust": hit.trust},
        "state": hit.state,
    }
    if not full and told["content"] != hit.content:
        told["cut"] = True
    if hit.valid_from is not None:
        told["valid_from"] = shown(hit.valid_from)
    if hit.valid_to is not None:
        told["valid_to"] = shown(hit.valid_to)
    if hit.superseded_by is not None:
        told["superseded_by"] = name_of(hit.superseded_by)
    if hit.why is not None:
        told["why"] = dict(hit.why)
    return told


def remembered_text(done: Sequence[Remembered]) -> str:
    return "\n".join(_told(each) for each in done)


def _told(each: Remembered) -> str:
    text = {
        "added": f"added {each.id}",
        "merged": f"merged into {each.id}",
        "promoted": f"promoted {each.id} from working memory",
    }[each.op]
    if each.replaced:
        text += f", superseding {', '.join(each.replaced)}"
    if each.redacted:
        text += f" (redacted: {', '.join(dict.fromkeys(each.redacted))})"
    if each.erased:
        text += " (done before under this key; erased since)"
    return text


def remembered_json(done: Sequence[Remembered]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "outcome": each.op,
            "text": _told(each),
            **({"redacted": list(each.redacted)} if each.redacted else {}),
            **({"superseded": list(each.replaced)} if each.replaced else {}),
            **({"erased": True} if each.erased else {}),
        }
        for each in done
    ]
