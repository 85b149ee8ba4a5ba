"""A small MCP server with manners to choose from, good and bad. Standard library only, run as a program.

`fake.py [manner ...]`: what each does stands beside it below.
"""

import json
import os
import subprocess
import sys
import threading
import time

MANNERS = set(sys.argv[1:])
WRITING = threading.Lock()
REVISION, META = "2026-07-28", "io.modelcontextprotocol/"
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def say(message: object) -> None:
    with WRITING:
        sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
        sys.stdout.buffer.flush()


def answer(identity: object, result: object) -> None:
    say({"jsonrpc": "2.0", "id": identity, "result": result})


def refuse(identity: object, code: int, message: str) -> None:
    say({"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}})


def tool(name: str, description: str, **properties: object) -> dict[str, object]:
    schema = {"type": "object", "properties": properties}
    return {"name": name, "description": description, "inputSchema": schema, "x-of-its-own": {"kept": True}}


TEXT = {"type": "string"}
TOOLS = [
    tool("echo", "Says the same again.", text=TEXT),
    tool("sleep", "Takes its time.", seconds={"type": "number"}),
    tool("count", "Counts, and tells how far it is.", to={"type": "integer"}),
    tool("environment", "Shows all that it sees of the environment."),
    tool("ask", "Asks the person for a name, and greets them."),
    tool("long", "A long text.", size={"type": "integer"}),
    tool("die", "Ends in the middle of its answer."),
    tool("huge", "Answers with a line that nobody can read.", size={"type": "integer"}),
    tool("twice", "Answers twice."),
    tool("fail", "Says no."),
    tool("grow", "Has one tool more from now on."),
    tool("odd.name/of a tool", "Its name does not fit."),
    tool("touch", "Tells those who watch its resources that they have changed."),
    tool("pid", "Its process, and those of its children."),
]
RESOURCES = [{"uri": "fake://one", "name": "one", "size": 3}]
PROMPTS = [{"name": "greet", "arguments": [{"name": "whom", "required": True}]}]
CHILDREN: list[int] = []
CANCELLED: set[object] = set()
WATCHED: dict[str, object] = {}  # by address: which request listens for it, if one does
ANSWERS: dict[object, "threading.Event"] = {}
SAID: dict[object, object] = {}


def text(said: str) -> dict[str, object]:
    return {"content": [{"type": "text", "text": said}]}


def call(identity: object, params: dict) -> None:  # type: ignore[type-arg]
    given = params.get("arguments", {})
    match params["name"]:
        case "echo":
            block = {"type": "text", "text": given.get("text", ""), "x-unknown": [1.5, None]}
            answer(identity, {"content": [block, {"type": "x-new", "data": 1}], "x-more": {"deep": [1]}})
        case "sleep":
            for _ in range(int(given.get("seconds", 1) / 0.02)):
                time.sleep(0.02)
                if identity in CANCELLED:
                    return
            answer(identity, text("slept"))
        case "count":
            time.sleep(given.get("after", 0))
            token = params.get("_meta", {}).get("progressToken")
            for number in range(1, given.get("to", 3) + 1):
                if token is not None:
                    told = {"progressToken": token, "progress": number, "total": 3, "message": f"at {number}"}
                    say({"jsonrpc": "2.0", "method": "notifications/progress", "params": told})
            answer(identity, text("counted"))
        case "environment":
            answer(identity, text(json.dumps(dict(os.environ))))
        case "ask":
            ask(identity, params)
        case "long":
            answer(identity, text("x" * given.get("size", 10)))
        case "die":
            sys.stdout.buffer.write(b'{"jsonrpc": "2.0", "id": ')
            sys.stdout.buffer.flush()
            os._exit(3)
        case "huge":
            with WRITING:
                sys.stdout.buffer.write(b'{"jsonrpc": "2.0", "x": "')
                for _ in range(given.get("size", 5_000_000) // 100_000):
                    sys.stdout.buffer.write(b"x" * 100_000)
                sys.stdout.buffer.write(b'"}\n')
                sys.stdout.buffer.flush()
        case "twice":
            answer(identity, text("first"))
            answer(identity, text("second"))
        case "fail":
            refuse(identity, -32000, "no, and this is why")
        case "grow":
            TOOLS.append(tool("grown", "New."))
            say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            answer(identity, text("grown"))
        case "touch":
            for uri, listener in list(WATCHED.items()):
                meta = {} if listener is None else {"_meta": {META + "subscriptionId": listener}}
                told = {"uri": uri, **meta}
                say({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": told})
            answer(identity, text(" ".join(WATCHED)))
        case "pid":
            answer(identity, text(json.dumps([os.getpid(), *CHILDREN])))
        case _:
            answer(identity, text(f"called {params['name']}"))


def ask(identity: object, params: dict) -> None:  # type: ignore[type-arg]
    wanted = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": TEXT}}}
    if "modern" in MANNERS:
        if "inputResponses" not in params:
            question = {"method": "elicitation/create", "params": wanted}
            answer(
                identity,
                {
                    "resultType": "input_required",
                    "inputRequests": {"who": question},
                    "requestState": "sealed",
                },
            )
            return
        said = params["inputResponses"]["who"]
        answer(identity, text(f"Hello {said['content']['name']}, {params['requestState']}"))
        return
    key = f"q{identity}"
    ANSWERS[key] = threading.Event()
    say({"jsonrpc": "2.0", "id": key, "method": "elicitation/create", "params": wanted})
    if ANSWERS[key].wait(20):
        answer(identity, text(f"Hello {SAID[key]}"))


def respond(message: dict) -> None:  # type: ignore[type-arg]
    identity, method, params = message.get("id"), message.get("method"), message.get("params", {})
    match method:
        case None:
            result = message.get("result", {})
            SAID[identity] = result.get("content", {}).get("name") or message.get("error", {}).get("message")
            if identity in ANSWERS:
                ANSWERS[identity].set()
        case "server/discover":
            if "modern" in MANNERS:
                can = {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "prompts": {}}
                answer(identity, {"supportedVersions": [REVISION], "capabilities": can})
            elif "exits on probe" in MANNERS:
                os._exit(1)
            elif "silent on probe" not in MANNERS:
                refuse(identity, -32601, "no such method")
        case "initialize":
            can = {
                "tools": {"listChanged": True},
                "resources": {"subscribe": True},
                "prompts": {},
                "completions": {},
            }
            info = {"name": "fake", "version": "1"}
            answer(
                identity,
                {"protocolVersion": params["protocolVersion"], "capabilities": can, "serverInfo": info},
            )
        case "tools/list":
            answer(identity, {"tools": TOOLS})
        case "tools/call":
            threading.Thread(target=call, args=(identity, params), daemon=True).start()
        case "resources/list":
            answer(identity, {"resources": RESOURCES})
        case "resources/templates/list":
            answer(identity, {"resourceTemplates": [{"uriTemplate": "fake://{name}", "name": "any"}]})
        case "resources/read":
            answer(
                identity, {"contents": [{"uri": params["uri"], "text": "what is in it", "x-unknown": True}]}
            )
        case "prompts/list":
            answer(identity, {"prompts": PROMPTS})
        case "prompts/get":
            said = {"type": "text", "text": f"Greet {params['arguments']['whom']}."}
            answer(identity, {"messages": [{"role": "user", "content": said}]})
        case "completion/complete":
            answer(identity, {"completion": {"values": [params["argument"]["value"] + "se"]}})
        case "resources/subscribe":
            WATCHED[params["uri"]] = None
            answer(identity, {})
        case "resources/unsubscribe":
            WATCHED.pop(params["uri"], None)
            answer(identity, {})
        case "subscriptions/listen":
            WATCHED.update(dict.fromkeys(params["notifications"].get("resourceSubscriptions", []), identity))
        case "notifications/cancelled" if params["requestId"] in WATCHED.values():
            for uri in [uri for uri, listener in WATCHED.items() if listener == params["requestId"]]:
                del WATCHED[uri]
        case "notifications/cancelled":
            CANCELLED.add(params["requestId"])
            print(f"cancelled {params['requestId']}", file=sys.stderr, flush=True)
        case _ if identity is not None:
            refuse(identity, -32601, f"no method {method}")
        case _:
            pass


def main() -> None:
    if "dies at once" in MANNERS:
        sys.exit("I cannot live like this")
    if "forks" in MANNERS:
        CHILDREN.append(subprocess.Popen(SLEEPER).pid)
    if "forks away" in MANNERS:
        CHILDREN.append(subprocess.Popen(SLEEPER, start_new_session=True).pid)
    if "deaf" in MANNERS:
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "garbage" in MANNERS:
        sys.stdout.buffer.write(b"Welcome!\n\xff\xfe\x00{]\n[1,2\n{}\n\n")
        sys.stdout.buffer.flush()
    if "silent" in MANNERS:
        time.sleep(600)
    for line in sys.stdin.buffer:
        respond(json.loads(line))
    if "deaf" in MANNERS:
        time.sleep(600)


if __name__ == "__main__":
    main()
