"""The revisions of MCP that we speak, and what tells them apart."""

from __future__ import annotations

from dataclasses import dataclass

# What a modern message says in its `_meta`.
META = "io.modelcontextprotocol/"
VERSION = META + "protocolVersion"
CAPABILITIES = META + "clientCapabilities"
CLIENT_INFO = META + "clientInfo"
LOG_LEVEL = META + "logLevel"
SERVER_INFO = META + "serverInfo"
SUBSCRIPTION = META + "subscriptionId"


@dataclass(frozen=True, slots=True)
class Revision:
    """One published revision. `modern` ones have no handshake: each request says its own terms."""

    name: str
    rank: int
    modern: bool = False
    batches: bool = False

    def __str__(self) -> str:
        return self.name

    def before(self, other: Revision) -> bool:
        return self.rank < other.rank


R2024_11_05 = Revision("2024-11-05", 0)
R2025_03_26 = Revision("2025-03-26", 1, batches=True)
R2025_06_18 = Revision("2025-06-18", 2)
R2025_11_25 = Revision("2025-11-25", 3)
R2026_07_28 = Revision("2026-07-28", 4, modern=True)

REVISIONS = {r.name: r for r in (R2024_11_05, R2025_03_26, R2025_06_18, R2025_11_25, R2026_07_28)}
LEGACY = {name: r for name, r in REVISIONS.items() if not r.modern}
MODERN = {name: r for name, r in REVISIONS.items() if r.modern}
NEWEST_LEGACY = R2025_11_25
NEWEST = R2026_07_28


def agree(asked: str) -> Revision:
    """What `initialize` settles on: what the client asked for, or else the newest that has a handshake."""
    return LEGACY.get(asked, NEWEST_LEGACY)
