"""From what a caller wants remembered to what is written: checked, secrets taken out, times understood. Pure."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mimo.errors import InvalidArguments
from mimo.services.memory import decay
from mimo.services.memory.arguments import LONGEST_CONTENT, Item
from mimo.services.memory.moments import AHEAD_MS, moment
from mimo.services.memory.names import number_of
from mimo.services.memory.secrets import Redacted, kind_of_secret, redactor
from mimo.services.memory.words import extra_of
from mimo.storage.engrams.add import Draft
from mimo.tool import Client, Trust

WORKING_SECONDS = 600.0
USUAL_IMPORTANCE = 0.5
# What a kind is worth when its caller does not say: a preference is asked for again, an observation seldom.
IMPORTANCE: Mapping[str, float] = {
    "preference": 0.7,
    "decision": 0.7,
    "procedure": 0.6,
    "plan": 0.6,
    "observation": 0.4,
}
_TRUSTS = [trust.value for trust in Trust]


class Drafted(NamedTuple):
    """A draft, and what was taken out of its text and its tags."""

    draft: Draft
    redacted: tuple[str, ...] = ()


def drafted(items: Sequence[Item], client: Client, now: int) -> list[Drafted]:
    """All of them, or none.

    Raises:
        InvalidArguments: one does not fit; the message says which, and why.
    """
    done: list[Drafted] = []
    redact = redactor([text for item in items for text in (item.content, *item.tags)])
    for index, item in enumerate(items):
        where = f"items[{index}]." if len(items) > 1 else ""
        tags = [redact(tag) for tag in item.tags]
        done.append(_drafted(item, redact(item.content), tags, client, now, where))
    return done


def content_hash(content: str) -> bytes:
    """The same for texts that say the same in the same words: spaces, a closing stop and a first capital do not count.

    Case counts elsewhere: `ls -A` is not `ls -a`.
    """
    text = content if content.isascii() else unicodedata.normalize("NFC", content)
    text = " ".join(text.split()).rstrip(".!… ") or content
    return hashlib.sha256((text[:1].lower() + text[1:]).encode()).digest()


def refuse_secret(name: str | None, what: str) -> None:
    """By a name its caller finds a thing again, so nothing in it can be blotted out.

    Raises:
        InvalidArguments: it holds a secret.
    """
    if name is not None and (kind := kind_of_secret(name)):
        raise InvalidArguments(
            f"{what} holds a secret ({kind}): it is kept as it is and shown, so choose another; nothing was stored",
            fields=[what],
        )


def _drafted(
    item: Item, clean: Redacted, clean_tags: Sequence[Redacted], client: Client, now: int, where: str
) -> Drafted:
    if 4 * len(clean.text) > LONGEST_CONTENT and len(clean.text.encode()) > LONGEST_CONTENT:
        raise InvalidArguments(
            f"{where}content is longer than {LONGEST_CONTENT:,} bytes with its secrets named; split it"
        )
    kind = item.kind or "fact"
    importance = IMPORTANCE.get(kind, USUAL_IMPORTANCE) if item.importance is None else float(item.importance)
    created_at = None if item.created_at is None else moment(item.created_at, f"{where}created_at")
    if created_at is not None and created_at > now + AHEAD_MS:
        raise InvalidArguments(f"{where}created_at is in the future; for what is to come, give valid_from")
    valid_from, valid_to = checked_validity(item.valid_from, item.valid_to, where)
    if valid_from is None and valid_to is not None and created_at is not None and valid_to < created_at:
        raise InvalidArguments(f"{where}valid_to is before created_at")
    who, tool, trust = _source(item.source, client, where)
    session = item.session or client.session or None
    if item.position is not None and session is None:
        raise InvalidArguments(f"{where}position has a meaning only within a session; give session, too")
    supersedes = [item.supersedes] if isinstance(item.supersedes, str) else item.supersedes
    for name, what in (
        (item.reference, "reference"),
        (item.session, "session"),
        (who, "source"),
        (tool, "source"),
    ):
        if name:
            refuse_secret(name, f"{where}{what}")
    tags = tuple(dict.fromkeys(tag.text for tag in clean_tags))
    draft = Draft(
        content=clean.text,
        content_hash=content_hash(clean.text),
        extra=extra_of(clean.text, tags),
        kind=kind,
        importance=importance,
        decay_rate=decay.rate(importance),
        tags=tags,
        reference=item.reference,
        session=session,
        position=item.position,
        client=who,
        tool=tool,
        trust=trust,
        created_at=created_at,
        valid_from=valid_from,
        valid_to=valid_to,
        expires_at=None if item.ttl is None else now + round((item.ttl or WORKING_SECONDS) * 1000),
        supersedes=tuple(number_of(name) for name in supersedes),
    )
    found = sum((tag.found for tag in clean_tags), clean.found) if clean_tags else clean.found
    return Drafted(draft, found)


def checked_validity(
    since: str | float | None, until: str | float | None, where: str = ""
) -> tuple[int | None, int | None]:
    """From when and until when it holds.

    Raises:
        InvalidArguments: it would end before it begins.
    """
    valid_from = None if since is None else moment(since, f"{where}valid_from")
    valid_to = None if until is None else moment(until, f"{where}valid_to")
    if valid_from is not None and valid_to is not None and valid_to < valid_from:
        raise InvalidArguments(
            f"{where}valid_to ({until}) is before {where}valid_from ({since}); were they swapped?"
        )
    return valid_from, valid_to


def _source(said: str | Mapping[str, str] | None, client: Client, where: str) -> tuple[str, str, str]:
    """Who, by what tool, and how far to be trusted: never further than the client itself, but for its user's words."""
    who, tool, claimed = client.name, "", client.trust.value
    if isinstance(said, str):
        if said in _TRUSTS:
            claimed = said
        else:
            tool = said
    elif said is not None:
        if unknown := set(said) - {"client", "tool", "trust"}:
            raise InvalidArguments(
                f"{where}source has no {sorted(unknown)[0]!r}; it has client, tool and trust"
            )
        who, tool, claimed = said.get("client", who), said.get("tool", ""), said.get("trust", claimed)
        if claimed not in _TRUSTS:
            raise InvalidArguments(
                f"{where}source.trust must be one of {', '.join(_TRUSTS)} (got {claimed[:40]!r})"
            )
    if len(who) > 200 or len(tool) > 200 or not f"{who}{tool}".isprintable():
        raise InvalidArguments(f"{where}source: at most 200 printable characters each")
    if client.trust is Trust.TOOL or client.trust is Trust.WEB:
        claimed = max(claimed, client.trust.value, key=_TRUSTS.index)
    return who, tool, claimed
