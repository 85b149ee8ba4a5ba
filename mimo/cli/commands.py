"""Every command of `mimo`, as data. Help, parsing and completions are read from here."""

from collections.abc import Iterable

from mimo.cli.words import Command, Operand, Option

JSON = Option("json", "one JSON document instead of text")
YES = Option("yes", "do not ask")
NAMESPACE = Option("namespace", "where to look or keep; else that of the project you stand in", "NAME")
SET = Option("set", "a setting for this run, as storage.readers=4", "KEY=VALUE", many=True)

EVENTS = ("session-start", "prompt", "pre-compact", "stop", "session-end")
SCOPES = ("read", "write", "admin")
SHELLS = ("bash", "zsh", "fish")
CLIENTS = (
    "claude-code",
    "claude-desktop",
    "vscode",
    "cursor",
    "zed",
    "codex",
    "gemini",
    "windsurf",
    "junie",
    "copilot",
    "opencode",
)

EXIT_CODES = """\
exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 daemon unreachable, 5 conflict"""

_GROUPS = {
    "Begin": (
        Command(
            "",
            "Status, and the next things to do",
            "status",
            "front",
        ),
        Command(
            "install",
            "Connect an editor or agent to mimo",
            "install",
            "install",
            (Operand("CLIENT", choices=CLIENTS, optional=True),),
            (
                Option("all", "every client that is found on this machine"),
                Option("dry-run", "show the change, do not make it"),
                Option("uninstall", "take mimo out again; what was there before comes back byte for byte"),
                JSON,
            ),
            ("mimo install claude-code", "mimo install --all --dry-run", "mimo install zed --uninstall"),
            "The client's file is edited in place: comments and order stay, a copy is kept beside it.",
        ),
        Command(
            "doctor",
            "Find what is wrong, and how to mend it",
            "doctor",
            "doctor",
            options=(Option("fix", "mend what can be mended safely"), JSON),
        ),
    ),
    "Memory": (
        Command(
            "remember",
            "Store a memory",
            "memories",
            "remember",
            (Operand("TEXT", optional=True, many=True),),
            (
                NAMESPACE,
                Option("kind", "fact, preference, decision, observation, ...", "KIND", "k"),
                Option("tag", "a tag; may be given again", "TAG", "t", many=True),
                Option("importance", "from 0 to 1", "NUMBER"),
                JSON,
            ),
            ('mimo remember "We deploy on Tuesdays" -k decision', "git log -1 | mimo remember -t release"),
            "Without TEXT, or with - in its place, what stands on stdin is stored.",
        ),
        Command(
            "search",
            "Find memories that bear on a question",
            "memories",
            "search",
            (Operand("QUESTION", optional=True, many=True),),
            (
                NAMESPACE,
                Option("limit", "at most so many (5)", "N", "n"),
                Option("kind", "only of this kind; may be given again", "KIND", "k", many=True),
                Option("tag", "only with this tag; may be given again", "TAG", "t", many=True),
                Option("time", 'as "last week" or "since March"', "TIME"),
                Option("why", "what each way of searching had to say"),
                Option("interactive", "ask again and again, from a prompt", short="i"),
                JSON,
            ),
            ('mimo search "when do we deploy"', "mimo search -i"),
        ),
        Command("show", "Show memories whole", "memories", "show", (Operand("ID", many=True),), (JSON,)),
        Command(
            "edit",
            "Change a memory",
            "memories",
            "edit",
            (Operand("ID"), Operand("TEXT", optional=True, many=True)),
            (
                Option("kind", "its kind", "KIND", "k"),
                Option("tag", "its tags, in place of those it has; may be given again", "TAG", "t", many=True),
                Option("importance", "from 0 to 1", "NUMBER"),
                Option("protect", "never let it fade"),
                JSON,
            ),
            ('mimo edit m7Z8 "We deploy on Wednesdays"',),
        ),
        Command(
            "forget",
            "Forget memories; 'mimo undo' brings them back for 30 days",
            "memories",
            "forget",
            (Operand("ID", many=True),),
            (Option("purge", "beyond undoing: gone from the file's pages too"), YES, JSON),
        ),
        Command("undo", "Take back the last change from the shell; with ID: restore that", "memories", "undo",
                (Operand("ID", optional=True, many=True),),
                (Option("namespace", "the last change in this one; else the last anywhere", "NAME"), JSON)),
        Command("history", "What happened to a memory", "memories", "history", (Operand("ID"),), (JSON,)),
        Command("fading", "What will fade next: protect or use what is worth keeping", "memories", "fading", (),
            (Option("days", "look so many days of use ahead (7)", "N"), JSON)),
        Command("consolidate", "Make lasting of working memory what is worth it, now", "memories", "consolidate", (),
            (Option("dry-run", "say what would happen, change nothing"), JSON)),
        Command("graph", "What is known for certain: facts and their relations", "graph", "graph",
                (Operand("ENTITY", optional=True, many=True),),
                (Option("as-of", "as it was at a time, as 2031-05-23", "TIME"),
                 Option("depth", "how many steps around ENTITY (1)", "N"),
                 Option("inferred", "what follows from the facts, too"),
                 NAMESPACE,
                 Option("mermaid", "a drawing for Markdown"), Option("dot", "a drawing for Graphviz"),
                 Option("svg", "a drawing for browsers"), JSON),
                ("mimo graph Atlas --depth 2", "mimo graph --svg > graph.svg"),
                "Facts are taught and asked for by the tool 'knowledge'; see 'mimo tool knowledge operation=help'."),
        Command("procedure list", "Every procedure; with NAME or --status: their runs", "procedures", "listing",
                (Operand("NAME", optional=True),), (Option("status", "running, waiting, failed, ...", "STATUS"),
                 Option("after", "what comes after the list before, which says it", "RUN"), JSON)),
        Command("procedure show", "A procedure, or a run (r12); as a picture with its state lit", "procedures", "show",
                (Operand("NAME"),),
                (Option("version", "else the latest", "X.Y"), Option("mermaid", "as Mermaid"), Option("svg", "as SVG"),
                 JSON),
                ("mimo procedure show deploy --mermaid", "mimo procedure show r12 --svg > r12.svg")),
        Command("procedure define", "Define a procedure by a file; - is stdin", "procedures", "define",
                (Operand("FILE"),), (JSON,), ("mimo procedure define deploy.json",),
                "Files in the folder 'procedures' of the data directory are defined by themselves."),
        Command("procedure validate", "Every problem of a definition, with its place", "procedures", "validate",
                (Operand("FILE"),), (JSON,)),
        Command("procedure run", "Begin a run, and wait a while for its end", "procedures", "run",
                (Operand("NAME"), Operand("KEY=VALUE", optional=True, many=True)),
                (Option("version", "else the latest", "X.Y"), Option("wait", "so many seconds (20)", "N"),
                 Option("key", "the same key begins one run only", "KEY"), JSON),
                ("mimo procedure run deploy env=staging replicas:=3",)),
        Command("procedure watch", "What befalls a run, as it comes", "procedures", "watch", (Operand("RUN"),), (JSON,)),
        Command("procedure history", "What befell a run", "procedures", "history", (Operand("RUN"),),
                (Option("limit", "lines (200)", "N"), Option("after", "this line", "N"), JSON)),
        Command("procedure signal", "Tell a run of an event: approved, rejected, ...", "procedures", "signal",
                (Operand("RUN"), Operand("EVENT"), Operand("KEY=VALUE", optional=True, many=True)), (JSON,)),
        Command("procedure interrupt", "Stop a run at once", "procedures", "interrupt", (Operand("RUN"),),
                (Option("rollback", "and take back what was done"), JSON)),
        Command("procedure pause", "Let a run begin nothing more", "procedures", "pause", (Operand("RUN"),), (JSON,)),
        Command("procedure resume", "Let a paused or interrupted run go on", "procedures", "resume", (Operand("RUN"),),
                (JSON,)),
        Command("procedure retry", "Try again what is stuck, or from a state on", "procedures", "retry",
                (Operand("RUN"), Operand("STATE", optional=True)), (JSON,)),
        Command("procedure deactivate", "Begin no more runs of it", "procedures", "deactivate", (Operand("NAME"),),
                (Option("version", "else all", "X.Y"), JSON)),
    ),
    "Data": (
        Command("backup", "Copy the database, while it is in use", "files", "backup",
                (Operand("FILE", optional=True),), (JSON,),
                ("mimo backup", "mimo backup /mnt/usb/mimo.db"),
                "Without FILE, into the data directory's backups. The copy is checked before it counts."),
        Command("restore", "Put a backup in the database's place", "files", "restore",
                (Operand("FILE"),), (YES, JSON),
                notes="The daemon must not run. What is there now is kept beside it."),
        Command("check", "Is the database (or a backup) whole?", "files", "check",
                (Operand("FILE", optional=True),), (JSON,)),
        Command("export", "All memories as JSON lines", "carry", "export",
                (Operand("FILE", optional=True),), (NAMESPACE,),
                ("mimo export - | gzip > memories.jsonl.gz",), "Without FILE, or with -, to stdout."),
        Command("import", "Take in what 'mimo export' wrote", "carry", "take_in",
                (Operand("FILE", optional=True),), (Option("dry-run", "read and judge, store nothing"), JSON),
                notes="Lossless, and twice is as good as once. Without FILE, or with -, from stdin."),
    ),
    "Daemon": (
        Command(
            "serve",
            "Be the daemon, in the foreground",
            "life",
            "serve",
            options=(
                SET,
                Option("standalone", "speak MCP on stdin and stdout too, in this one process"),
                Option("idle-exit", "end when nobody has been connected for daemon.idle_minutes"),
                Option("behind-proxy", "a proxy before mimo speaks TLS, and says in X-Forwarded-For who asks"),
            ),
        ),
        Command("status", "Is the daemon up, and how are its parts?", "status", "status", options=(JSON,)),
        Command("stop", "End the daemon; what was acknowledged is kept", "life", "stop", options=(JSON,)),
        Command("restart", "End the daemon and start it again", "life", "restart", options=(JSON,)),
        Command("reload", "Have the daemon read its settings again", "life", "reload"),
        Command("logs", "What the daemon wrote", "life", "logs", options=(
            Option("follow", "stay and show what comes", short="f"),
            Option("lines", "begin so many lines back (50)", "N", "n"),
        )),
        Command("config show", "Every setting, with where it came from", "configuration", "show",
                options=(SET, JSON)),
    ),
    "Programs": (
        Command("stdio", "Speak MCP on stdin and stdout (alias: mcp); editors start this", "bridge", "main"),
        Command("tool", "Call any tool, as an agent would; without NAME, list them", "tools", "tool",
                (Operand("NAME", optional=True), Operand("KEY=VALUE", optional=True, many=True)),
                (Option("seconds", "how long to wait for the answer (60)", "N"), JSON),
                ('mimo tool memory_search query="when do we deploy" limit:=3',),
                "key=value is text, key:=value is JSON, key=@FILE is the text of a file."),
        Command("hook", "Answer an agent's hook; says nothing when there is nothing to say", "hook", "hook",
                (Operand("EVENT", choices=EVENTS),)),
        Command("key create", "Make a key for a program that comes by HTTP or WebSocket", "keys", "create",
                (Operand("NAME"),),
                (Option("scope", "read, write or admin; may be given again (read and write)", "SCOPE", "s",
                        SCOPES, many=True), JSON),
                ("mimo key create grafana -s read",),
                "The key is shown this once, alone on stdout."),
        Command("key list", "Every key, the revoked ones too", "keys", "listing", options=(JSON,)),
        Command("key revoke", "Let a key open nothing any more", "keys", "revoke", (Operand("NAME"),), (JSON,)),
        Command("token", "The owner's key, for scripts", "keys", "token",
                options=(Option("renew", "make another; the one before opens nothing any more"),),
                examples=('curl -H "Authorization: Bearer $(mimo token)" http://127.0.0.1:4000/v1/mimo/tools',)),
        Command("skill add", "Have mimo start another MCP server and offer its tools", "skills", "add",
                (Operand("NAME"), Operand("COMMAND", optional=True, many=True)),
                (Option("url", "a server that runs elsewhere (streamable HTTP), instead of a command", "ADDRESS"),
                 Option("env", "in its environment; may be given again", "NAME=VALUE", many=True),
                 Option("header", "sent with each request to --url; may be given again", "NAME=VALUE", many=True),
                 Option("variable", "a name that ${NAME} may stand for; may be given again", "NAME", many=True),
                 Option("prefix", "before the names of its tools", "WORD"),
                 Option("cwd", "where it is started", "DIR"),
                 Option("expose", "its tools are in the list that agents see from the start"),
                 Option("approve", "tools whose definition changes wait for 'mimo skill approve'"),
                 Option("replace", "also if there is one of this name"), JSON),
                ("mimo skill add time -- uvx mcp-server-time", "mimo skill add docs --url https://example.org/mcp"),
                "Agents find the tools with gateway_find_tools. The file is skills.json in the data directory."),
        Command("skill remove", "Take a skill out of the file", "skills", "remove", (Operand("NAME"),), (JSON,)),
        Command("skill list", "Every skill, and how it is", "skills", "listing", options=(JSON,)),
        Command("skill test", "Start a skill and list its tools", "skills", "try_out", (Operand("NAME"),), (JSON,)),
        Command("skill logs", "What a skill wrote on stderr", "skills", "logs", (Operand("NAME"),), (JSON,)),
        Command("skill reload", "Read the file again; only what changed is started anew", "skills", "reload",
                options=(JSON,)),
        Command("skill approve", "Trust the changed definitions of a skill's tools", "skills", "approve",
                (Operand("NAME"), Operand("TOOL", optional=True)), (JSON,)),
        Command("skill check", "Find what is wrong with the file", "skills", "check",
                options=(Option("schema", "show the file's JSON Schema"), JSON)),
        Command("completions", "Completions for your shell", "completions", "completions",
                (Operand("SHELL", choices=SHELLS),), examples=("mimo completions fish | source",)),
    ),
}  # fmt: skip

# A family of commands that is larger than this has one line on the first screen.
FEW = 1
FAMILIES = {
    "config": "Every setting, with where it came from",
    "procedure": "What an agent learned to do, as machines that do it again",
    "key": "Keys for programs that come by HTTP or WebSocket",
    "skill": "Other MCP servers, and their tools",
}
COMMANDS = {command.name: command for group in _GROUPS.values() for command in group}
COMMANDS["mcp"] = COMMANDS["stdio"]


def overview(name: str = "") -> str:
    """`mimo --help`: one screen. With a command's name, that command's help."""
    if name in COMMANDS and name:
        from mimo.cli.words import explain

        return explain(COMMANDS[name])
    if family := [command for command in COMMANDS.values() if name and command.name.startswith(f"{name} ")]:
        lines = [f"usage: mimo {name} COMMAND", "", *(_line(each.name, each.summary) for each in family)]
        return "\n".join([*lines, "", f"More on each: mimo {name} COMMAND --help."])
    lines = [
        "mimo: one memory for all your agents, on your machine",
        "",
        "usage: mimo [COMMAND] [--home DIR]",
    ]
    for group, commands in _GROUPS.items():
        lines += ["", f"{group}:"]
        lines += _lines(commands)
    lines += [
        "",
        EXIT_CODES,
        "",
        "More on each: mimo COMMAND --help; on several: mimo procedure --help. Version: mimo --version.",
    ]
    return "\n".join(lines)


def _lines(commands: Iterable[Command]) -> Iterable[str]:
    """One each; a large family has one for all."""
    commands = list(commands)
    told = set[str]()
    for command in commands:
        first, _, second = command.name.partition(" ")
        family = [each.name.partition(" ")[2] for each in commands if each.name.startswith(f"{first} ")]
        if not second or len(family) <= FEW:
            yield _line(command.name or "mimo", command.summary)
        elif first not in told:
            told.add(first)
            more = ", ".join(family[:3]) + (", ..." if len(family) > 3 else "")
            yield _line(first, f"{FAMILIES[first]}: {more}")


def _line(name: str, summary: str) -> str:
    return f"  {name:<13} {summary}"
