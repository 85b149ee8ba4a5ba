"""What an agent reads before it has done anything: the list of tools of a real daemon, with a skill behind it."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mimo.cli.client import Daemon
from mimo.home import Home

FAKE = Path(__file__).parents[1] / "services" / "skills" / "fake.py"


def test_the_whole_list_of_tools_is_small_and_flat(serve: Callable[..., Any], home: Home) -> None:
    os.makedirs(home, mode=0o700)
    Path(home, "skills.json").write_text(
        json.dumps({"fake": {"command": sys.executable, "args": [str(FAKE)]}})
    )
    serve()
    with Daemon(home) as daemon:
        daemon.ask("mimo/skills/test", {"name": "fake"}, seconds=60)
    with Daemon(home, role="bridge") as daemon:
        client = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        told = daemon.ask("initialize", client)
        listed = daemon.ask("tools/list")
    names = [tool["name"] for tool in listed["tools"]]
    assert names[:2] == ["memory_search", "memory_add"]
    assert {"gateway_find_tools", "gateway_call", "knowledge", "procedure"} <= set(names)
    assert not any(name.startswith("fake_") for name in names)
    assert len(json.dumps(listed, separators=(",", ":"), ensure_ascii=False).encode()) < 8_192, len(
        json.dumps(listed)
    )
    assert len(told["instructions"]) <= 3_500
    assert 0 < told["instructions"].index(".") < 250
    for tool in listed["tools"]:
        schema = tool["inputSchema"]
        assert schema["type"] == "object"
        assert not {"$ref", "oneOf", "anyOf", "allOf"} & schema.keys()
        assert '"$ref"' not in json.dumps(schema)
        assert all(each for each in schema["properties"].values()), tool["name"]
