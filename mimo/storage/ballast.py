"""A few megabytes that are given up when the disk is full, so that forgetting works.

Even a DELETE needs room, for the write-ahead log. The ballast is released when SQLite finds the disk
full, kept for writes that free something, and made again when there is room.
"""

from __future__ import annotations

import errno
import os

from mimo.home import Home

BALLAST_BYTES = 4 << 20
# With less than this beside it, a new ballast would take the room that the next write needs.
ENOUGH = 2 * BALLAST_BYTES


def room(home: Home) -> int:
    """How many bytes this user may still write on the disk of the data directory."""
    disk = os.statvfs(home)
    return disk.f_bavail * disk.f_frsize


def stow(home: Home) -> bool:
    """Makes the ballast if there is none and the disk has room enough; whether it lies there now."""
    if os.path.exists(home.ballast):
        return True
    if room(home) < ENOUGH:
        return False
    part = home.ballast + ".part"
    opened = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(opened, 0, BALLAST_BYTES)  # real blocks: a sparse file would give nothing back
    except OSError as error:
        os.unlink(part)
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP, errno.EINVAL}:
            return False
        raise
    finally:
        os.close(opened)
    os.replace(part, home.ballast)
    return True


def release(home: Home) -> bool:
    """Gives the ballast up; whether there was one."""
    try:
        os.unlink(home.ballast)
    except FileNotFoundError:
        return False
    return True
