"""What one call does is one action, and its name tells whose it is and when: so `undo` finds the caller's own last.

The same client in the same project and session is the same caller, also after it was restarted. A person at the
command line is one caller wherever they stand.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time

from mimo.tool import Client

PERSON = "cli"  # how our own command line calls itself


def action_of(client: Client) -> str:
    """A name for what this call does; of one caller's actions, the last has the greatest."""
    return f"{mark_of(client)}{time.time_ns():016x}{secrets.token_hex(2)}"


def mark_of(client: Client) -> str:
    """How the names of all actions of this caller begin."""
    who = [client.name, client.key]
    if client.name != PERSON:
        who += [client.namespace, client.session]
    return hashlib.sha256(json.dumps(who).encode()).hexdigest()[:16]
