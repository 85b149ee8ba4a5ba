"""Our server keeps the contract of the doors."""

import importlib.util
from pathlib import Path
from typing import Any

from mimo.transports.http.server import Server

_path = Path(__file__).parent.parent / "contracts" / "door.py"
_spec = importlib.util.spec_from_file_location("contracts_door", _path)
assert _spec is not None
assert _spec.loader is not None
contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contract)


class TestHypercornOnTrio(contract.DoorContract):
    def serve(self, app: Any, **limits: Any) -> Server:
        return Server(app, **limits)
