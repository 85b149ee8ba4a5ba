"""Run as a unit inside a booted systemd: use mimo's system units as an operator would, and write down what was seen."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

SOCKET = "/var/lib/mimo/mimo.sock"


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, check=True).stdout.strip()


def property_of(name: str) -> str:
    return systemctl("show", "--property", name, "--value", "mimo.service")


def ask(method: str = "mimo/status") -> tuple[float, Any]:
    """One question over the socket, and the seconds that the answer took."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(30)
        line.connect(SOCKET)
        hello = {"mimo": 1, "role": "cli", "version": "0", "cwd": "/", "pid": os.getpid(), "env": {}}
        question = {"jsonrpc": "2.0", "id": 1, "method": method}
        line.sendall(f"{json.dumps(hello)}\n{json.dumps(question)}\n".encode())
        answer = line.makefile().readline()
    return time.monotonic() - began, json.loads(answer)["result"]


def ask_until_answered() -> tuple[float, Any, int]:
    """Ask again when the one who had our question was killed; count how often nobody listened."""
    began, refused = time.monotonic(), 0
    while time.monotonic() - began < 30:
        try:
            answer = ask()[1]
            return time.monotonic() - began, answer, refused
        except ConnectionRefusedError:
            refused += 1
        except (OSError, ValueError):
            continue
    raise TimeoutError("no answer in 30 s")


def main() -> None:
    seen: dict[str, Any] = {}
    systemctl("start", "mimo.socket")
    seen["active before"] = property_of("ActiveState")
    seen["first reply"], status = ask()
    seen["active after"] = property_of("ActiveState")
    seen["pid"] = status["pid"]

    os.kill(status["pid"], signal.SIGKILL)
    seen["after kill -9"], status, seen["refused"] = ask_until_answered()
    seen["another pid"] = status["pid"]

    os.kill(status["pid"], signal.SIGHUP)
    ask()
    seen["same pid after reload"] = ask()[1]["pid"] == status["pid"]

    os.kill(status["pid"], signal.SIGSTOP)  # nothing runs any more: neither the loop nor the writer
    began = time.monotonic()
    while property_of("MainPID") == str(status["pid"]) and time.monotonic() - began < 60:
        time.sleep(0.1)
    seen["watchdog took"] = time.monotonic() - began
    seen["after watchdog"], status, _ = ask_until_answered()
    seen["a third pid"] = status["pid"]

    systemctl("stop", "mimo.service", "mimo.socket")
    seen["result of the stop"] = property_of("Result")
    seen["state directory"] = oct(os.stat("/var/lib/mimo").st_mode & 0o777)
    print(json.dumps(seen))


if __name__ == "__main__":
    try:
        main()
    finally:
        sys.stdout.flush()
        subprocess.run(
            ["journalctl", "-u", "mimo.service", "--no-pager", "-n", "100"], stdout=sys.stderr, check=False
        )
        subprocess.run(["systemctl", "--no-block", "exit", "0"], check=False)
