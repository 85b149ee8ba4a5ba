"""`mimo procedure ...`: procedures and their runs, from the shell. Each is a call of a tool, but for `watch`."""

import sys
from typing import Any

from mimo.cli.client import Daemon
from mimo.cli.terminal import FAILED, OK, Failed, foreign, say, say_json
from mimo.cli.tools import arguments
from mimo.cli.words import Words, Wrong

# The daemon says every turn of a run as it comes; between two of them days may pass.
DAYS = 366 * 86_400.0
WELL = frozenset({"completed", "pending", "running", "waiting"})


def listing(words: Words) -> int:
    asked: dict[str, Any] = {"operation": "list"}
    for option in ("status", "after", "NAME"):
        if words.text(option):
            asked[option.lower()] = words.text(option)
    return _call(words, asked, tool="procedure_look")


def show(words: Words) -> int:
    """A procedure; or a run, by its name (r12)."""
    name = words.text("NAME")
    pictures = [each for each in ("mermaid", "svg") if words.has(each)]
    if len(pictures) > 1 or (pictures and words.has("json")):
        raise Wrong("--mermaid, --svg or --json, one of them")
    is_run = name[:1] == "r" and name[1:].isascii() and name[1:].isdigit()
    asked: dict[str, Any] = {"operation": "get"} | ({"run": name} if is_run else {"name": name})
    if is_run and not pictures:
        asked["operation"] = "status"
    if words.text("version"):
        asked["version"] = words.text("version")
    if pictures:
        asked["format"] = pictures[0]
    return _call(words, asked, tool="procedure_look")


def run(words: Words) -> int:
    """Its exit code is 0 when the run is completed, or goes on."""
    asked: dict[str, Any] = {
        "operation": "run",
        "name": words.text("NAME"),
        "input": _input(words),
        "wait": float(words.number("wait", 20)),
    }
    for option in ("version", "key"):
        if words.text(option):
            asked[option] = words.text(option)
    return _call(words, asked, by_status=True)


def watch(words: Words) -> int:
    """Its history as it comes, until it has ended."""
    as_json = words.has("json")

    def told(method: str, params: Any) -> None:
        if method == "mimo/procedure_line":
            if as_json:
                say_json({name: params[name] for name in params if name != "text"})
            else:
                say(foreign(params["text"]))
            sys.stdout.flush()

    with Daemon(words.home, start=True) as daemon:
        ended = daemon.ask("mimo/procedure_watch", {"run": words.text("RUN")}, seconds=DAYS, told=told)
    return OK if ended["status"] == "completed" else FAILED


def history(words: Words) -> int:
    asked: dict[str, Any] = {
        "operation": "history",
        "run": words.text("RUN"),
        "limit": words.number("limit", 200, 1),
        "after": words.number("after", 0),
    }
    return _call(words, asked, tool="procedure_look")


def validate(words: Words) -> int:
    text = _file(words.text("FILE"))
    with Daemon(words.home, start=True) as daemon:
        asked = {"operation": "validate", "text": text, "name": _named(words.text("FILE")), "format": "json"}
        data = daemon.tool("procedure_look", asked).data
    if words.has("json"):
        say_json(data)
    else:
        for each in data["problems"]:
            say(foreign(f"{each['place'] or words.text('FILE')}: {each['problem']}"))
        if data["valid"]:
            say("it can be defined as it is")
    return OK if data["valid"] else FAILED


def define(words: Words) -> int:
    text = _file(words.text("FILE"))
    return _call(words, {"operation": "define", "text": text, "name": _named(words.text("FILE"))})


def signal(words: Words) -> int:
    asked: dict[str, Any] = {"operation": "signal", "run": words.text("RUN"), "event": words.text("EVENT")}
    if words.all("KEY=VALUE"):
        asked["data"] = arguments(words.all("KEY=VALUE"), {})
    return _call(words, asked)


def interrupt(words: Words) -> int:
    return _call(
        words, {"operation": "interrupt", "run": words.text("RUN"), "rollback": words.has("rollback")}
    )


def pause(words: Words) -> int:
    return _call(words, {"operation": "pause", "run": words.text("RUN")})


def resume(words: Words) -> int:
    return _call(words, {"operation": "resume", "run": words.text("RUN")})


def retry(words: Words) -> int:
    state = {"state": words.text("STATE")} if words.text("STATE") else {}
    return _call(words, {"operation": "retry", "run": words.text("RUN")} | state)


def deactivate(words: Words) -> int:
    version = {"version": words.text("version")} if words.text("version") else {}
    return _call(words, {"operation": "deactivate", "name": words.text("NAME")} | version)


def _call(words: Words, asked: dict[str, Any], *, tool: str = "procedure", by_status: bool = False) -> int:
    as_json = words.has("json")
    if as_json:
        asked["format"] = "json"
    with Daemon(words.home, start=True) as daemon:
        answer = daemon.tool(tool, asked, seconds=asked.get("wait", 0.0) + 60)
    if as_json:
        say_json(answer.data)
    else:
        say(foreign(_in_words_of_the_shell(answer.text)))
    if not by_status:
        return OK
    status = answer.data["status"] if as_json else answer.text.partition(": ")[2].partition(",")[0]
    return OK if status in WELL else FAILED


def _in_words_of_the_shell(text: str) -> str:
    """The tool says how to get what comes then by its argument; here it is an option."""
    told, there_is, after = text.rpartition("\nMore: after=")
    option = after.removesuffix(".").strip('"')
    return f"{told}\nMore: --after {option}" if there_is else text


def _input(words: Words) -> dict[str, Any]:
    """Values as the procedure's input schema wants them: a number stays a text where it wants a text."""
    pairs = words.all("KEY=VALUE")
    if not pairs:
        return {}
    asked: dict[str, Any] = {"operation": "get", "name": words.text("NAME"), "format": "json"}
    if words.text("version"):
        asked["version"] = words.text("version")
    with Daemon(words.home, start=True) as daemon:
        definition = daemon.tool("procedure_look", asked).data["definition"]
    return arguments(pairs, definition.get("input", {}))


def _named(path: str) -> str:
    """Only how the name ends matters: it says whether it is YAML."""
    return "file.yaml" if path.endswith((".yaml", ".yml")) else "file.json"


def _file(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failed(f"cannot read {path}: it is not UTF-8 text") from error
