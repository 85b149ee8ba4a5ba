"""One writer in groups, a few readers, and what a caller may rely on."""

from __future__ import annotations

import trio
import apsw, pytest
from mimo.home import Home
from mimo.storage.database import Database
from pathlib import Path

async def test_first(tmp_path: Path, nursery: trio.Nursery) -> None:
    db = Database(Home(tmp_path / "home"))
    await nursery.start(db.run)
    def add(db: apsw.Connection, n: int) -> int:
        db.execute("INSERT INTO change (kind, id, op) VALUES ('t', ?, 'add')", (n,))
        return n
    assert await db.write(add, 3, key="k") == 3
    assert await db.write(add, 4, key="k") == 3
    print(await db.outcome("k"), db.stats())
    assert await db.read(lambda c: c.execute("select count(*) from change").get) == 1
    with pytest.raises(ValueError): await db.write(lambda c: int("x"))
    await db.pulse()
    nursery.cancel_scope.cancel()
