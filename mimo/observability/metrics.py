"""All numbers of the daemon, declared once, for a dashboard that can be read at a glance.

Names are `mimo_<what>_<unit>`; labels take values from small fixed sets only. What changes all the time
(queues, caches, sessions) is not pushed here but asked for when somebody looks: see `before_render`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

# A memory answers in a millisecond, an embedding in tens, another server in seconds.
CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ROWS = (1, 2, 4, 8, 16, 32, 64)
STALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# Our own tools are a few dozen. Tools of skills come and go, and a dashboard must survive them all.
MOST_TOOLS = 200
OTHER = "(other)"
UNKNOWN = "(unknown)"


class Metrics:
    """Declares everything in a registry of its own, so that two of them never meet.

    Constructing it is what imports prometheus-client. Methods and metrics may be used from any thread.
    """

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, exposition

        registry = CollectorRegistry()
        self._latest: Callable[[], bytes] = lambda: exposition.generate_latest(registry)
        self._refreshers: list[Callable[[], None]] = []
        self._tools: set[str] = set()
        # To look a child up by its labels costs more than to count; there are few, and these for every call.
        self._counted: dict[tuple[str, str], Counter] = {}
        self._timed: dict[str, Histogram] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(
            name: str, text: str, *labels: str, buckets: tuple[float, ...] = CALL_SECONDS
        ) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        self.info = gauge("mimo_info", "Always 1; the labels say what runs.", "version", "kernel")
        self.started_at = gauge("mimo_started_at_seconds", "When the daemon began, since 1970.")

        # Calls. Outcomes: ok, failed, cancelled, and the kinds of mimo.errors.
        self.calls = counter("mimo_calls_total", "Calls of tools that have ended.", "tool", "outcome")
        self.call_seconds = histogram(
            "mimo_call_seconds", "From a call to its answer, the queue included.", "tool"
        )
        self.running = gauge("mimo_running", "Calls that run now.", "capacity")
        self.waiting = gauge("mimo_waiting", "Calls that wait for their turn.", "capacity")
        self.running_limit = gauge("mimo_running_limit", "How many calls may run at once.", "capacity")
        self.waiting_limit = gauge("mimo_waiting_limit", "How many calls may wait.", "capacity")
        self.refused = counter(
            "mimo_refused_total", "Calls refused because all places were taken.", "capacity"
        )

        # Who is connected.
        self.sessions = gauge("mimo_sessions", "Clients connected now.", "door")
        self.sessions_opened = counter("mimo_sessions_opened_total", "Clients that have connected.", "door")
        self.in_flight = gauge("mimo_in_flight_requests", "Requests being answered now.", "door")
        self.requests = counter(
            "mimo_http_requests_total", "HTTP requests answered.", "route", "method", "status"
        )
        self.request_seconds = histogram(
            "mimo_http_request_seconds", "From a request to its response.", "route"
        )
        self.denied = counter("mimo_denied_total", "Requests refused at the door.", "door", "reason")

        # Storage.
        self.commits = counter("mimo_storage_commits_total", "Commits of the writer.", "outcome")
        self.commit_seconds = histogram(
            "mimo_storage_commit_seconds", "BEGIN to the end of COMMIT.", buckets=COMMIT_SECONDS
        )
        self.commit_jobs = histogram(
            "mimo_storage_commit_jobs", "Units of work that shared one commit.", buckets=ROWS
        )
        self.rows = counter("mimo_storage_rows_total", "Rows changed by the writer.")
        self.writer_waiting = gauge("mimo_storage_writer_waiting", "Units of work waiting for the writer.")
        self.read_seconds = histogram(
            "mimo_storage_read_seconds", "A unit of work of a reader.", buckets=COMMIT_SECONDS
        )
        self.wal_bytes = gauge("mimo_storage_wal_bytes", "The write-ahead log.")
        self.database_bytes = gauge("mimo_storage_database_bytes", "The database file.")
        self.checkpoints = counter("mimo_storage_checkpoints_total", "Checkpoints of the log.", "outcome")
        self.checkpoint_seconds = histogram(
            "mimo_storage_checkpoint_seconds", "How long a checkpoint took.", buckets=COMMIT_SECONDS
        )
        self.storage_full = gauge("mimo_storage_full", "1 while the disk lets nothing be added.")
        self.backups = counter("mimo_storage_backups_total", "Backups made.", "outcome")
        self.backup_at = gauge("mimo_storage_backup_at_seconds", "The last good backup, since 1970.")

        # What keeps it alive.
        self.restarts = counter("mimo_child_restarts_total", "Supervised children started again.", "child")
        self.child_up = gauge("mimo_child_up", "1 while a supervised child serves.", "child")
        self.children_refused = counter(
            "mimo_children_refused_total", "Children refused by a full supervisor.", "supervisor"
        )
        self.breaker_state = gauge("mimo_breaker_state", "0 closed, 1 half-open, 2 open.", "breaker")
        self.breaker_changes = counter(
            "mimo_breaker_changes_total", "Changes of a breaker's state.", "breaker", "state"
        )

        # What it costs.
        self.events_missed = counter("mimo_events_missed_total", "Events lost by slow subscribers.")
        self.stalls = histogram(
            "mimo_loop_stall_seconds", "Steps of a task that held up the event loop.", buckets=STALL_SECONDS
        )
        self.resource = gauge("mimo_resource", "What the process uses: bytes, or how many.", "resource")
        self.resource_limit = gauge("mimo_resource_limit", "Where it becomes a worry.", "resource", "level")
        self.log_lines_lost = counter("mimo_log_lines_lost_total", "Lines that stderr did not take.")

        # Caches and embedding.
        self.cache_hits = counter("mimo_cache_hits_total", "Found in a cache.", "cache")
        self.cache_misses = counter("mimo_cache_misses_total", "Not found in a cache.", "cache")
        self.cache_bytes = gauge("mimo_cache_bytes", "What a cache holds.", "cache")
        self.embedding_waiting = gauge("mimo_embedding_waiting", "Texts waiting to be embedded.")
        self.embedding_set_aside = gauge(
            "mimo_embedding_set_aside", "Texts that could not be embedded, and are tried again later."
        )
        self.embedding_refused = counter(
            "mimo_embedding_refused_total", "Texts that could not be embedded, each time.", "embedder"
        )
        self.embedded = counter("mimo_embedded_texts_total", "Texts embedded.", "embedder")
        self.embedding_seconds = histogram("mimo_embedding_seconds", "One batch of texts.", "embedder")
        self.procedure_runs = gauge(
            "mimo_procedure_runs", "Runs that act, queue for a place, or wait for a time.", "what"
        )
        self.memories = gauge("mimo_memories", "Memories kept, by what they are.", "state")

    def called(self, tool: str | None, outcome: str, seconds: float) -> None:
        """Count a call that has ended; `tool` is None when there is no tool of that name."""
        label = UNKNOWN if tool is None else self._bounded(tool)
        counted = self._counted.get((label, outcome))
        if counted is None:
            counted = self._counted[label, outcome] = self.calls.labels(label, outcome)
        timed = self._timed.get(label)
        if timed is None:
            timed = self._timed[label] = self.call_seconds.labels(label)
        counted.inc()
        timed.observe(seconds)

    def before_render(self, refresh: Callable[[], None]) -> None:
        """Ask this function to bring its gauges up to date whenever somebody looks."""
        self._refreshers.append(refresh)

    def render(self) -> bytes:
        """Everything as Prometheus text."""
        for refresh in self._refreshers:
            refresh()
        return self._latest()

    def _bounded(self, tool: str) -> str:
        if tool in self._tools:
            return tool
        if len(self._tools) >= MOST_TOOLS:
            return OTHER
        self._tools.add(tool)
        return tool


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
