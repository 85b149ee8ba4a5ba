"""`mimo graph`: what is known, or what is known of one thing, as text or as a drawing."""

from typing import Any

from mimo.cli.client import Daemon
from mimo.cli.drawing import Edge, dot, mermaid, svg
from mimo.cli.terminal import OK, foreign, note, say, say_json
from mimo.cli.words import Words, Wrong

DRAWN = 200
DRAWINGS = {"mermaid": mermaid, "dot": dot, "svg": svg}


def graph(words: Words) -> int:
    forms = [name for name in (*DRAWINGS, "json") if words.has(name)]
    if len(forms) > 1:
        raise Wrong(f"--{forms[0]} or --{forms[1]}, not both")
    name = " ".join(words.all("ENTITY"))
    asked: dict[str, Any] = {"operation": "query", "limit": DRAWN}
    if name:
        asked |= {"operation": "neighbours", "subject": name, "depth": words.number("depth", 1, least=1)}
        asked["inferred"] = words.has("inferred")
    elif not forms and not words.text("as-of") and not words.has("inferred"):
        asked = {"operation": "stats"}
    elif not words.has("inferred"):
        asked["inferred"] = False
    for option, argument in (("as-of", "as_of"), ("namespace", "graph")):
        if words.text(option):
            asked[argument] = words.text(option)
    if forms:
        asked["format"] = "json"
    with Daemon(words.home, start=True) as daemon:
        answer = daemon.tool("knowledge_ask", asked)
    if not forms:
        say(foreign(answer.text))
    elif forms == ["json"]:
        say_json(answer.data)
    else:
        facts = [each.get("by", each) for each in answer.data["results"]]
        if not facts:
            note(f"nothing is known{f' of {name}' if name else ''}")
        edges = [Edge(f["subject"], f["predicate"], f["object"], f["inferred"]) for f in facts]
        say(DRAWINGS[forms[0]](edges))
    return OK
