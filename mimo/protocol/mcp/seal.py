"""What a stateless client keeps for us between two tries, sealed so that it cannot be changed or moved.

The content is what the client itself answered before, so it is authentic rather than secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json

from pydantic_core import from_json

from mimo.errors import InvalidArguments
from mimo.protocol.jsonrpc import Object, encode

# A person may take a while over a form, and a call must not lie about for a day.
LIFETIME = 30 * 60.0
_MAC = hashlib.sha256().digest_size


class BrokenSeal(InvalidArguments):
    """The state is not what we gave to this client for this request."""

    kind = "broken_seal"


class Seal:
    """Seals and opens with one key; a seal of another key, place or time does not open."""

    def __init__(self, key: bytes, lifetime: float = LIFETIME) -> None:
        self._key = key
        self._lifetime = lifetime

    def close(self, answers: Object, place: bytes, now: float) -> str:
        body = encode({"until": now + self._lifetime, "answers": answers})
        return base64.urlsafe_b64encode(self._mac(place, body) + body).decode()

    def open(self, token: str, place: bytes, now: float) -> Object:
        """The answers that were sealed in.

        Raises:
            BrokenSeal: changed, from another call or caller, or too old.
        """
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if base64.urlsafe_b64encode(raw).decode() != token:  # Python overlooks what follows the padding
            raw = b""
        mac, body = raw[:_MAC], raw[_MAC:]
        if not hmac.compare_digest(mac, self._mac(place, body)):
            raise BrokenSeal("requestState does not belong to this request; start it anew without one")
        kept = from_json(body)
        if kept["until"] < now:
            raise BrokenSeal("requestState has expired; start the request anew without it")
        return kept["answers"]

    def _mac(self, place: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, place + body, "sha256")


def place(principal: str, method: str, params: Object) -> bytes:
    """A digest of who asks for what. What changes between two tries of one request is left out."""
    same = {
        key: value for key, value in params.items() if key not in {"inputResponses", "requestState", "_meta"}
    }
    canonical = json.dumps([principal, method, same], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).digest()
