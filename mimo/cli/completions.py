"""`mimo completions SHELL`: scripts that complete without starting Python at every TAB."""

from collections.abc import Iterable

from mimo.cli.commands import COMMANDS
from mimo.cli.terminal import OK, say
from mimo.cli.words import EVERYWHERE, Command, Words


def completions(words: Words) -> int:
    say({"bash": _bash, "zsh": _zsh, "fish": _fish}[words.text("SHELL")]())
    return OK


def _first_words() -> dict[str, str]:
    """What may stand first, with what it is for."""
    found: dict[str, str] = {}
    for name, command in COMMANDS.items():
        if name:
            found.setdefault(name.split()[0], command.summary)
    return found


def _after(command: Command) -> list[str]:
    """All words that may follow a command: choices, then options."""
    choices = [choice for operand in command.operands for choice in operand.choices]
    return [*choices, *(f"--{option.name}" for option in (*command.options, *EVERYWHERE))]


def _cases(body: str) -> str:
    """A shell's case for each command; `config show` is known by its first word."""
    lines: list[str] = []
    for name, command in COMMANDS.items():
        if name:
            first, *second = name.split()
            lines.append(f"    {first}) {body.format(words=' '.join([*second, *_after(command)]))} ;;")
    return "\n".join(lines)


def _bash() -> str:
    return f"""\
# bash completion for mimo; load it with: source <(mimo completions bash)
_mimo() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    words="{" ".join(_first_words())} --home --help --version"
  elif [[ ${{COMP_WORDS[COMP_CWORD-1]}} == --home ]]; then
    COMPREPLY=($(compgen -d -- "$word")); return
  else case ${{COMP_WORDS[1]}} in
{_cases('words="{words}"')}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _mimo mimo"""


def _zsh() -> str:
    return f"""\
#compdef mimo
# zsh completion for mimo; load it with: source <(mimo completions zsh)
_mimo() {{
  if (( CURRENT == 2 )); then
    local -a commands=({" ".join(_quoted(f"{w}:{s}") for w, s in _first_words().items())})
    _describe command commands
    return
  fi
  if [[ $words[CURRENT-1] == --home ]]; then _directories; return; fi
  case $words[2] in
{_cases("compadd -- {words}")}
  esac
  _files
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _mimo "$@"; else compdef _mimo mimo; fi"""


def _fish() -> str:
    lines = ["# fish completion for mimo; load it with: mimo completions fish | source"]
    for word, summary in _first_words().items():
        lines.append(f"complete -c mimo -n __fish_use_subcommand -f -a {word} -d {_quoted(summary)}")
    for name, command in COMMANDS.items():
        if not name:
            continue
        first, *second = name.split()
        seen = f"-n '__fish_seen_subcommand_from {first}'"
        words = [*second, *(choice for operand in command.operands for choice in operand.choices)]
        if words:
            lines.append(f"complete -c mimo {seen} -f -a {_quoted(' '.join(words))}")
        lines += [f"complete -c mimo {seen} {_fish_option(o)}" for o in _options(command)]
    return "\n".join(lines)


def _options(command: Command) -> Iterable[tuple[str, str, str, bool]]:
    return [(o.name, o.short, o.help, bool(o.value)) for o in (*command.options, *EVERYWHERE)]


def _fish_option(option: tuple[str, str, str, bool]) -> str:
    name, short, text, takes_value = option
    parts = [f"-l {name}", *([f"-s {short}"] if short else []), *(["-r"] if takes_value else [])]
    return f"{' '.join(parts)} -d {_quoted(text)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
