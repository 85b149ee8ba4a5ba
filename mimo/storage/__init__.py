"""SQLite: the only truth, and the only room that knows apsw.

    database.py    one writer that commits in groups, a few readers: what services are given
    group.py       many units of work, one COMMIT
    answers.py     idempotency: what a key was answered
    changes.py     the change log, which caches in memory follow
    migrate.py     migrations/0001_*.sql ..., applied once, in order, each after a copy
    backup.py      copy, restore, check
    ballast.py     room for forgetting on a full disk
    reading.py     a file that is only looked at
    files.py       the data directory: private, ours, on a disk that can keep it
    connection.py  how every connection is set
    thread.py      a connection's own thread, spoken to from Trio
    translate.py   SQLite's errors as ours

A unit of work is a function `work(db, ...)` of an `apsw.Connection`. It runs whole in that
connection's thread, sees nothing of Trio, and is tested without a loop. Cursors are read to their end.
"""
