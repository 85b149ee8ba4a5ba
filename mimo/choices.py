"""Everything that a person may choose, with its default and its bounds: one frozen tree of sections."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=10_000)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Storage(Section):
    """The database."""

    readers: int = Field(default=3, ge=1, le=16, description="connections that read side by side")
    backup_hours: float = Field(
        default=24.0, ge=0, description="a copy of the database every so many hours; 0: never"
    )
    backups_kept: int = Field(default=7, ge=1, le=1000, description="the newest so many of those copies stay")


class Log(Section):
    """What the operator sees, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is told"
    )
    format: Literal["auto", "text", "json"] = Field(
        default="auto", description="auto: text on a terminal, else JSON"
    )


class Daemon(Section):
    """The process."""

    idle_minutes: float = Field(
        default=15.0, ge=0, description="a daemon that a bridge started ends after so long alone; 0: never"
    )
    # With the ten seconds of the last resort it stays below the TimeoutStopSec= of the units.
    grace_seconds: float = Field(
        default=10.0, gt=0, le=15, description="how long a stop lets running calls finish"
    )


class Limits(Section):
    """How many calls run side by side, by what they compete for; one that finds no place is told to wait."""

    light: Count = Field(default=64, description="answers from memory")
    read: Count = Field(default=16, description="readers of the database")
    write: Count = Field(default=64, description="waiting for the writer, which commits them in groups")
    compute: Count = Field(default=os.cpu_count() or 1, description="cores")
    outside: Count = Field(default=32, description="waiting for somebody else's process")
    waiting: Count = Field(default=256, description="callers that wait for a place, in each of these")


class Http(Section):
    """The door for programs: REST, OpenAI's API, and MCP over HTTP."""

    enabled: Literal["auto", "on", "off"] = Field(
        default="auto", description="auto: open, unless an editor started the daemon for itself"
    )
    host: str = Field(default="127.0.0.1", min_length=1, max_length=253, description="where to listen")
    port: int = Field(default=4000, ge=0, le=65535, description="0: any that is free")
    hosts: str = Field(default="", description="more names by which it is reached, with commas between them")
    certificate: str = Field(default="", description="a file with the certificate chain, to speak TLS")
    certificate_key: str = Field(
        default="", description="the file with its private key; empty: it is in the same"
    )
    behind_proxy: bool = Field(default=False, description="a proxy before mimo speaks TLS, and says who asks")
    connections: int = Field(default=1000, ge=1, le=100_000, description="at most so many at once")
    rate_per_minute: Positive = Field(
        default=60.0, description="how often a key may write, or use what costs"
    )
    rate_burst: int = Field(default=20, ge=1, le=100_000, description="so many of these at once")
    limit_owner: bool = Field(default=False, description="the owner's key is limited on loopback too")
    overload_seconds: Positive = Field(
        default=2.0, description="calls slower than this, and a growing queue: costly ones are put off"
    )


class Synapse(Section):
    """The door for agents: WebSocket, with channels as Phoenix has them, and MCP. Names, TLS and rates are http's."""

    enabled: Literal["auto", "on", "off"] = Field(
        default="auto", description="auto: open, unless an editor started the daemon for itself"
    )
    host: str = Field(default="127.0.0.1", min_length=1, max_length=253, description="where to listen")
    port: int = Field(default=4001, ge=0, le=65535, description="0: any that is free")
    connections: int = Field(default=1000, ge=1, le=100_000, description="at most so many at once")
    per_key: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="of these one key may hold so many; the owner's may hold all",
    )
    in_flight: int = Field(
        default=64, ge=1, le=10_000, description="queries and tools of one connection at once"
    )
    message_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="the longest message that is read"
    )


class Embedding(Section):
    """From text to vectors."""

    provider: Literal["box", "ollama", "openai"] = Field(
        default="box", description="the model in the box needs nothing"
    )
    url: str = Field(default="", description="where ollama or the OpenAI-compatible service answers")
    model: str = Field(default="", description="the model's name there")
    dimension: int | None = Field(
        default=None, ge=1, le=8192, description="checked against what the service gives"
    )
    key: SecretStr = Field(default=SecretStr(""), description="the service's key")
    batch: int = Field(default=32, ge=1, le=512, description="texts in one request")
    lean: bool = Field(
        default=False,
        description="in memory are codes alone, 80 MB for a million; each search reads some vectors from the file",
    )


class Search(Section):
    """How the hits of a search are put in order, and when it says that it has nothing."""

    threshold: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="hits less likely than this to bear on the question are no answer",
    )
    words: float | None = Field(default=None, description="what shared words are worth, in and around a text")
    meaning: float | None = Field(default=None, description="nearness in meaning, in and around a text")
    own_meaning: float | None = Field(default=None, description="nearness in meaning of the text alone")
    speaker: float | None = Field(default=None, description="said by the one whom the question names")
    asks: float | None = Field(default=None, description="is a question itself")
    when: float | None = Field(default=None, description="names a time, when the question asks for one")
    time: float | None = Field(default=None, description="is of the time that the question names")
    told: float | None = Field(default=None, description="says something, rather than greets or nods")
    recency: float | None = Field(default=None, description="was said lately")
    importance: float | None = Field(default=None, description="was marked as important")
    use: float | None = Field(default=None, description="was asked for often")


class Upstream(Section):
    """A language model behind an OpenAI-compatible service. Nothing needs one."""

    url: str = Field(
        default="", description="where it answers, as http://127.0.0.1:11434/v1; empty: there is none"
    )
    model: str = Field(default="", description="the model's name there")
    key: SecretStr = Field(default=SecretStr(""), description="the service's key")
    seconds: Positive = Field(default=30.0, description="how long it may take to read a text")
    silence_seconds: Positive = Field(
        default=120.0, description="how long it may say nothing in a conversation that is passed on to it"
    )
    reads_facts: bool = Field(
        default=True, description="it reads the texts that the graph is taught, beside the patterns"
    )


class Skills(Section):
    """Other MCP servers that mimo starts and offers on; which, says skills.json in the data directory."""

    most: int = Field(default=100, ge=1, le=1000, description="at most so many run at once")
    timeout_seconds: Positive = Field(
        default=60.0, description="how long a call may take, where a skill says nothing"
    )
    start_seconds: Positive = Field(default=30.0, description="how long a start may take")
    idle_minutes: Positive = Field(
        default=10.0, description="a skill that nobody calls is stopped after so long"
    )
    result_chars: int = Field(
        default=100_000, ge=1000, le=4_000_000, description="longer answers are cut, the rest is a resource"
    )


class Settings(Section):
    """All of it."""

    namespace: str = Field(
        default="", max_length=200, description="where memories live; empty: named after the project"
    )
    storage: Storage = Storage()
    log: Log = Log()
    daemon: Daemon = Daemon()
    limits: Limits = Limits()
    http: Http = Http()
    synapse: Synapse = Synapse()
    embedding: Embedding = Embedding()
    search: Search = Search()
    upstream: Upstream = Upstream()
    skills: Skills = Skills()
