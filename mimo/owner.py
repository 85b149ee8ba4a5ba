"""The owner's key: a file in the data directory that scripts of the same user may read. Standard library only.

It opens the network doors for whoever can read the directory anyway. It is in no backup and in no database.
"""

import os
import secrets

from mimo.home import Home


def owner_token(home: Home, *, renew: bool = False) -> str:
    """The key, made when there is none or another is wanted.

    Raises:
        OSError: it can neither be read nor made.
    """
    path = os.path.join(home, "owner.key")
    if not renew and (found := _read(path)):
        return found
    token = "mimo_" + secrets.token_urlsafe(32)
    fresh = f"{path}.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        if renew or _read(path) == "":  # one that was torn is no key
            os.replace(fresh, path)
            return token
        try:
            os.link(fresh, path)  # of two that make one at once, the first wins
        except FileExistsError:
            return _read(path) or token
        return token
    finally:
        if os.path.lexists(fresh):
            os.unlink(fresh)


def _read(path: str) -> str | None:
    """None: there is none. An empty text: what is there is no key."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)) as file:
            text = file.read(200).strip()
    except FileNotFoundError:
        return None
    return text if text.startswith("mimo_") and len(text) == 48 else ""
