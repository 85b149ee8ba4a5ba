"""The data directory and the database file in it: private, ours, and on a disk that can keep a promise.

Every complaint is an `Unusable` of one sentence with its cure, made before anything was changed.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from mimo.errors import Unusable
from mimo.home import Home

# WAL needs memory that all processes at the file share, and an fsync that means it.
NETWORK_FILE_SYSTEMS = frozenset(
    "9p afs beegfs ceph cifs coda davfs glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs prl_fs smb3 smbfs "
    "vboxsf vmhgfs fuse.ceph fuse.davfs fuse.gcsfuse fuse.glusterfs fuse.rclone fuse.s3fs fuse.smbnetfs fuse.sshfs "
    "fuse.vmhgfs-fuse".split()
)


def prepare_home(home: Home) -> None:
    """Makes the directory if there is none, and refuses what cannot serve.

    Raises:
        Unusable: it cannot be made, read or written, is not ours, others can read it, it is on a network file
            system, or the database in it is no file of ours.
    """
    try:
        os.makedirs(os.path.dirname(home), exist_ok=True)
        os.mkdir(home, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise Unusable(
            f"cannot make the data directory {home} ({error.strerror}); choose another with --home or MIMO_HOME"
        ) from error
    if not os.path.isdir(home):
        raise Unusable(f"{home} is not a directory; choose another with --home or MIMO_HOME")
    _require_private(home, "the data directory", 0o700)
    if not _may(home, os.R_OK | os.W_OK | os.X_OK):
        cure = f"run: chmod 700 {home}"
        if os.stat(home).st_mode & 0o700 == 0o700:
            cure = "its disk takes no writing; choose another directory with --home or MIMO_HOME"
        raise Unusable(f"cannot write into the data directory {home}; {cure}")
    kind = file_system(home)
    if kind in NETWORK_FILE_SYSTEMS:
        raise Unusable(
            f"the data directory {home} is on a network file system ({kind}), which can lose and damage a database; "
            "choose a local disk with --home or MIMO_HOME"
        )
    require_ours(home.database)


def require_ours(path: str) -> None:
    """Raises `Unusable` unless there is no file at `path`, or one that is private and that we may write.

    What is in it, SQLite is asked (`version_of`). To open the file beside SQLite would be a trap: closing
    any descriptor of it drops the locks that this process has on it.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise Unusable(f"{path} is not a regular file; move it away, or choose another directory with --home")
    _require_private(path, "the database", 0o600)
    if not _may(path, os.R_OK | os.W_OK):
        raise Unusable(f"the database {path} cannot be read and written; run: chmod 600 {path}")


def touch_private(path: str) -> None:
    """An empty file that only we may read, if there is none, before SQLite makes one that others may."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def sync_file(path: str) -> None:
    """What was written to `path`, and its name in its directory, survive a power cut from here on.

    Not for a database that is open in this process: see `require_ours`.
    """
    for each, flags in ((path, os.O_RDONLY), (os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)):
        opened = os.open(each, flags | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def file_system(path: str, mounts: str | None = None) -> str:
    """The kind of file system that `path` is on ("ext4", "nfs4", "fuse.sshfs"), or "" where nobody says."""
    if mounts is None:
        if not sys.platform.startswith("linux"):
            return ""
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                mounts = file.read()
        except OSError:
            return ""
    path = os.path.realpath(path)
    best, kind = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = _unescaped(fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # a later mount on the same point hides the earlier
            best, kind = point, after.split(" ")[0]
    return kind


def _unescaped(point: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, char)
    return point


def _require_private(path: str, what: str, mode: int) -> None:
    found = os.stat(path)
    if found.st_uid != os.geteuid():
        raise Unusable(
            f"{what} {path} belongs to user {found.st_uid} and mimo runs as user {os.geteuid()}; "
            "choose another directory with --home or MIMO_HOME"
        )
    if found.st_mode & 0o077:
        raise Unusable(
            f"{what} {path} can be read by others (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"run: chmod {mode:o} {path}"
        )


def _may(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
