"""Memories, from the shell: remember, search, show, edit, forget, undo, history. Each is a call of a tool."""

import sys
from typing import Any

from mimo.cli.client import Daemon
from mimo.cli.terminal import OK, Failed, confirmed, foreign, note, say, say_json
from mimo.cli.words import Words, Wrong

# Longer than any text that the daemon takes; nothing without an end is read into memory.
MOST_READ = 1_000_000


def remember(words: Words) -> int:
    content = _said(words, "TEXT") or _from_stdin("what is to be remembered")
    return _call(words, "memory_add", {"content": content} | _namespace(words) | _properties(words))


def search(words: Words) -> int:
    asked = _said(words, "QUESTION")
    if words.has("interactive"):
        return _ask_again_and_again(words, asked)
    return _call(words, "memory_search", _query(words, asked or _from_stdin("the question")))


def show(words: Words) -> int:
    return _call(words, "memory_get", {"ids": words.all("ID")})


def edit(words: Words) -> int:
    changes = _properties(words)
    if content := _said(words, "TEXT"):
        changes["content"] = content
    if words.has("protect"):
        changes["protected"] = True
    if not changes:
        raise Wrong("nothing to change: give a new text, --kind, --tag, --importance or --protect")
    return _call(words, "memory_edit", {"action": "update", "ids": words.all("ID")} | changes)


def forget(words: Words) -> int:
    ids = words.all("ID")
    if not words.has("purge"):
        return _call(words, "memory_edit", {"action": "forget", "ids": ids})
    if not confirmed(f"Erase {', '.join(ids)} for good, beyond undoing?", words.has("yes")):
        note("nothing was erased")
        return OK
    return _call(words, "memory_edit", {"action": "purge", "ids": ids})


def undo(words: Words) -> int:
    if ids := words.all("ID"):
        return _call(words, "memory_edit", {"action": "restore", "ids": ids})
    return _call(words, "memory_edit", {"action": "undo"} | _namespace(words))


def history(words: Words) -> int:
    return _call(words, "memory_get", {"ids": words.all("ID"), "history": True})


def fading(words: Words) -> int:
    asked = {"days": words.number("days", 7)} if words.text("days") else {}
    with Daemon(words.home, start=True) as daemon:
        found = daemon.ask("mimo/fading", asked)
    if words.has("json"):
        say_json(found)
        return OK
    for title, fates in (("at the next sweep", found["due"]), ("soon", found["at_risk"])):
        for fate in fates:
            say(
                f"{fate['id']}  {fate['left']:.2f} left, fades {title}, {fate['days']:g} days of use from now"
            )
    if not found["due"] and not found["at_risk"]:
        say("nothing fades soon")
    else:
        say("keep one with: mimo edit ID --protect")
    return OK


def consolidate(words: Words) -> int:
    with Daemon(words.home, start=True) as daemon:
        judged = daemon.ask("mimo/consolidate", {"dry_run": words.has("dry-run")})
    if words.has("json"):
        say_json(judged)
        return OK
    for each in judged:
        say(f"{each['id']}  {each['score']:.2f}  {each['outcome']}")
    if not judged:
        say("there is no working memory")
    return OK


def _call(words: Words, tool: str, arguments: dict[str, Any]) -> int:
    if words.has("json"):
        arguments["format"] = "json"
    with Daemon(words.home, start=True) as daemon:
        answer = daemon.tool(tool, arguments)
    if words.has("json"):
        say_json(answer.data if answer.data is not None else {"text": answer.text})
    else:
        say(foreign(answer.text))
    return OK


def _ask_again_and_again(words: Words, question: str) -> int:
    """A prompt that ends with an empty line or ^D."""
    prompting = sys.stdin.isatty()
    if prompting:
        import readline  # noqa: F401  # pyright: ignore[reportUnusedImport] (gives input() history and editing)
    with Daemon(words.home, start=True) as daemon:
        while True:
            if not question:
                try:
                    question = input("search: " if prompting else "").strip()
                except EOFError:
                    return OK
            if not question:
                return OK
            say(foreign(daemon.tool("memory_search", _query(words, question)).text))
            question = ""


def _query(words: Words, question: str) -> dict[str, Any]:
    query: dict[str, Any] = {"query": question} | _namespace(words)
    if words.text("limit"):
        query["limit"] = words.number("limit", 5, least=1)
    for option, argument in (("kind", "kinds"), ("tag", "tags")):
        if words.all(option):
            query[argument] = words.all(option)
    if words.text("time"):
        query["time"] = words.text("time")
    if words.has("why"):
        query["why"] = True
    return query


def _properties(words: Words) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if words.text("kind"):
        found["kind"] = words.text("kind")
    if words.all("tag"):
        found["tags"] = words.all("tag")
    if importance := words.text("importance"):
        try:
            found["importance"] = float(importance)
        except ValueError as error:
            raise Wrong(f"--importance takes a number from 0 to 1, not {importance!r}") from error
    return found


def _namespace(words: Words) -> dict[str, str]:
    return {"namespace": words.text("namespace")} if words.text("namespace") else {}


def _said(words: Words, operand: str) -> str:
    """The words of an operand; `-` alone is what stands on stdin."""
    said = " ".join(words.all(operand))
    return _read_stdin(f"{operand} is '-', and stdin is empty") if said == "-" else said


def _from_stdin(what: str) -> str:
    missing = f"{what} is missing: give it as words, or on stdin"
    if sys.stdin.isatty():
        raise Wrong(missing)
    return _read_stdin(missing)


def _read_stdin(if_empty: str) -> str:
    said = sys.stdin.buffer.read(MOST_READ + 1)
    if len(said) > MOST_READ:
        raise Failed(f"stdin has more than {MOST_READ:,} bytes, which is too long for one memory; split it")
    try:
        text = said.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise Failed(f"stdin is not UTF-8 text, from byte {error.start} on") from error
    if not text:
        raise Wrong(if_empty)
    return text
