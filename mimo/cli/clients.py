"""The editors and agents that mimo knows how to connect to, as data: which file, which place in it, which shape."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Where programs with windows keep their settings, by the habit of the system.
DESKTOP = "~/Library/Application Support" if sys.platform == "darwin" else "{xdg}"


@dataclass(frozen=True, slots=True)
class Client:
    """One editor or agent."""

    name: str
    title: str
    files: tuple[str, ...]  # the first that exists counts, else the first
    keys: tuple[str, ...]  # where the entry stands in it
    shape: str = "plain"
    extra: Mapping[str, Any] | None = None
    signs: tuple[str, ...] = ()  # what shows that the client is here, beside its file's folder
    then: str = "Restart it to load mimo."
    moved_by: str = ""  # a variable that moves the folder of `files`

    def path(self, environ: Mapping[str, str]) -> str:
        """The file to write."""
        paths = [self._placed(file, environ) for file in self.files]
        return next((path for path in paths if os.path.isfile(path)), paths[0])

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Does this person seem to use it?"""
        path = self.path(environ)
        if os.path.exists(path) or any(os.path.exists(_expanded(sign, environ)) for sign in self.signs):
            return True
        return os.path.dirname(path) != _expanded("~", environ) and os.path.isdir(os.path.dirname(path))

    def entry(self, command: Sequence[str]) -> dict[str, Any]:
        """What is to stand there. Everything is in absolute paths and arguments: some clients strip the environment."""
        if self.shape == "array":
            entry: dict[str, Any] = {"type": "local", "command": list(command)}
        else:
            entry = {} if self.shape == "plain" else {"type": self.shape}
            entry |= {"command": command[0], "args": list(command[1:])}
        return entry | dict(self.extra or {})

    def command_in(self, entry: Any) -> list[str] | None:
        """The command that an entry found there would start; None if it makes no sense."""
        if not isinstance(entry, dict):
            return None
        command: Any = entry.get("command")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        words: Any = command if self.shape == "array" else [command, *(entry.get("args") or [])]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):  # pyright: ignore[reportUnknownVariableType]
            return None
        return words  # pyright: ignore[reportUnknownVariableType]

    def _placed(self, file: str, environ: Mapping[str, str]) -> str:
        if moved := environ.get(self.moved_by):
            return os.path.join(moved, os.path.basename(file))
        return _expanded(file, environ)


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME") or os.path.expanduser("~")
    xdg = environ.get("XDG_CONFIG_HOME", "")
    path = path.replace("{xdg}", xdg if os.path.isabs(xdg) else os.path.join(home, ".config"))
    return os.path.normpath(home + path[1:] if path.startswith("~") else path)


_ALL = (
    Client(
        "claude-code",
        "Claude Code",
        ("~/.claude.json",),
        ("mcpServers", "mimo"),
        "stdio",
        signs=("~/.claude",),
        then="New sessions have mimo; /mcp shows it.",
        moved_by="CLAUDE_CONFIG_DIR",
    ),
    Client(
        "claude-desktop",
        "Claude Desktop",
        (f"{DESKTOP}/Claude/claude_desktop_config.json",),
        ("mcpServers", "mimo"),
    ),
    Client(
        "vscode",
        "VS Code",
        (f"{DESKTOP}/Code/User/mcp.json",),
        ("servers", "mimo"),
        "stdio",
        then="It asks once whether mimo may be started.",
    ),
    Client("cursor", "Cursor", ("~/.cursor/mcp.json",), ("mcpServers", "mimo")),
    Client(
        "zed",
        "Zed",
        ("{xdg}/zed/settings.json",),
        ("context_servers", "mimo"),
        extra={"env": {}},
        then="Zed sees it at once.",
    ),
    Client(
        "codex",
        "Codex",
        ("~/.codex/config.toml",),
        ("mcp_servers", "mimo"),
        then="New sessions have mimo.",
        moved_by="CODEX_HOME",
    ),
    Client(
        "gemini",
        "Gemini CLI",
        ("~/.gemini/settings.json",),
        ("mcpServers", "mimo"),
        extra={"timeout": 30000},
        then="New sessions have mimo; /mcp shows it.",
    ),
    Client("windsurf", "Windsurf", ("~/.codeium/windsurf/mcp_config.json",), ("mcpServers", "mimo")),
    Client(
        "junie",
        "JetBrains Junie",
        ("~/.junie/mcp/mcp.json",),
        ("mcpServers", "mimo"),
        signs=("~/.junie",),
        then="Restart the IDE to load mimo.",
    ),
    Client(
        "copilot",
        "Copilot CLI",
        ("~/.copilot/mcp-config.json",),
        ("mcpServers", "mimo"),
        "local",
        extra={"tools": ["*"]},
        then="New sessions have mimo.",
    ),
    Client(
        "opencode",
        "opencode",
        ("{xdg}/opencode/opencode.json", "{xdg}/opencode/opencode.jsonc"),
        ("mcp", "mimo"),
        "array",
        extra={"enabled": True},
        then="New sessions have mimo.",
    ),
)

BY_NAME: Mapping[str, Client] = {client.name: client for client in _ALL}
