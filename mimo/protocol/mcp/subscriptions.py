"""What one client wants to hear of: lists that change, and resources."""

from __future__ import annotations

from mimo.protocol import jsonrpc
from mimo.protocol.jsonrpc import Id, Object
from mimo.protocol.mcp.about import ServerInfo
from mimo.protocol.mcp.events import Say
from mimo.protocol.mcp.operations import MAX_WATCHED, Kind, Listen, Subscribe
from mimo.protocol.mcp.revisions import SERVER_INFO, SUBSCRIPTION
from mimo.protocol.mcp.terms import invalid

MAX_LISTENS = 32


class Subscriptions:
    """Legacy clients watch resources one by one; modern ones leave requests open that say what they listen for."""

    def __init__(self, about: ServerInfo) -> None:
        self._about = about
        self._listens: dict[Id, Listen] = {}
        self._watched: set[str] = set()
        self.uris: frozenset[str] = frozenset()  # of all of them

    def __bool__(self) -> bool:
        """Is a request left open?"""
        return bool(self._listens)

    def __contains__(self, identity: Id) -> bool:
        return identity in self._listens

    def listen(self, identity: Id, asked: Listen) -> list[Say]:
        """Raises: Refused: there are too many."""
        if len(self._listens) >= MAX_LISTENS:
            raise invalid(f"at most {MAX_LISTENS} subscriptions can be open on one connection")
        self._listens[identity] = asked
        self._count()
        heard: Object = {f"{kind}ListChanged": True for kind in sorted(asked.kinds)}
        heard |= {"resourceSubscriptions": sorted(asked.uris)} if asked.uris else {}
        return [_tagged(identity, "notifications/subscriptions/acknowledged", {"notifications": heard})]

    def watch(self, asked: Subscribe) -> None:
        """Raises: Refused: there are too many."""
        if not asked.on:
            self._watched.discard(asked.uri)
        elif len(self._watched) >= MAX_WATCHED:
            raise invalid(f"at most {MAX_WATCHED} resources can be watched")
        else:
            self._watched.add(asked.uri)
        self._count()

    def end(self, identity: Id) -> bool:
        """The client has given up this request. False: it was none of these."""
        if self._listens.pop(identity, None) is None:
            return False
        self._count()
        return True

    def end_all(self) -> list[tuple[Id, Object]]:
        """Each open request with the result that ends it."""
        meta = {SERVER_INFO: self._about.implementation()}
        ended: list[tuple[Id, Object]] = [
            (identity, {"resultType": "complete", "_meta": {SUBSCRIPTION: identity, **meta}})
            for identity in self._listens
        ]
        self._listens.clear()
        self._count()
        return ended

    def changed(self, kind: Kind, *, unasked: bool) -> list[Say]:
        """A list is not what it was."""
        kind = "resources" if kind == "templates" else kind
        method = f"notifications/{kind}/list_changed"
        said = [
            _tagged(identity, method, {}) for identity, each in self._listens.items() if kind in each.kinds
        ]
        return [*said, Say(jsonrpc.notification(method))] if unasked else said

    def updated(self, uri: str) -> list[Say]:
        """A resource is not what it was."""
        method = "notifications/resources/updated"
        said = [
            _tagged(identity, method, {"uri": uri})
            for identity, each in self._listens.items()
            if uri in each.uris
        ]
        return [*said, Say(jsonrpc.notification(method, {"uri": uri}))] if uri in self._watched else said

    def _count(self) -> None:
        self.uris = frozenset(self._watched).union(*(each.uris for each in self._listens.values()))


def _tagged(identity: Id, method: str, params: Object) -> Say:
    return Say(jsonrpc.notification(method, params | {"_meta": {SUBSCRIPTION: identity}}), identity)
