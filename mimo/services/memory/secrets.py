"""Keys, tokens and passwords in a text, and the text without them.

Every rule begins at a literal word and consumes a bounded run of characters, so the time is linear in
the text. What has a shape of its own (a private key, a vendor's prefix) is taken by its shape; what has
none is taken only where the text calls it a secret and it looks random enough to be one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text that may be stored, and the names of what was taken out of it."""

    text: str
    found: tuple[str, ...]


# A shape of its own: a name, what every such secret contains (searched first, because that is fast),
# and the pattern whose whole match is the secret.
_SHAPES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "private key",
        ("PRIVATE KEY",),
        # The body is taken possessively, so that a thousand beginnings without an end stay linear. In JSON, as
        # in the key files of service accounts, its lines end with a backslash and an n.
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[A-Za-z0-9+/=\s:,.()\\]|-(?!----)){16,20000}+(?:-----END [A-Z0-9 ]{0,60}-----)?",
    ),
    ("private key", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[0-9A-Z]{50,70}"),
    (
        "AWS key id",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        r"(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])",
    ),
    (
        "GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255})",
    ),
    (
        "GitLab token",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-"),
        r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_.-]{20,255}",
    ),
    ("Slack token", ("xox", "xapp-"), r"xox[abeoprs]-[A-Za-z0-9-]{10,255}|xapp-[0-9]-[A-Za-z0-9-]{10,255}"),
    (
        "Slack webhook",
        ("hooks.slack.com",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,255}",
    ),
    ("API key", ("sk-",), r"(?<![A-Za-z0-9])sk-(?=[A-Za-z0-9_-]{0,255}[0-9])[A-Za-z0-9_-]{20,255}"),
    (
        "Stripe key",
        ("_live_", "_test_", "whsec_"),
        r"(?<![A-Za-z0-9])(?:(?:sk|rk|pk)_(?:live|test)|whsec)_[A-Za-z0-9]{16,255}",
    ),
    (
        "Google key",
        ("AIza", "ya29.", "GOCSPX-"),
        r"(?<![A-Za-z0-9])(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,512}|GOCSPX-[A-Za-z0-9_-]{20,64})",
    ),
    ("SendGrid key", ("SG.",), r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    ("Twilio key", ("SK", "AC"), r"(?<![A-Za-z0-9])(?:SK|AC)[0-9a-f]{32}(?![A-Za-z0-9])"),
    ("npm token", ("npm_",), r"npm_[A-Za-z0-9]{36}"),
    ("PyPI token", ("pypi-",), r"pypi-[A-Za-z0-9_-]{50,512}"),
    ("Hugging Face token", ("hf_",), r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,64}"),
    ("DigitalOcean token", ("_v1_",), r"do[opr]_v1_[0-9a-f]{64}"),
    ("Shopify token", ("shpat_", "shpca_", "shppa_", "shpss_"), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("Databricks token", ("dapi",), r"(?<![A-Za-z0-9])dapi[0-9a-f]{32}"),
    ("Mailgun key", ("key-",), r"(?<![A-Za-z0-9])key-[0-9a-f]{32}(?![A-Za-z0-9])"),
    ("Vault token", ("hvs.", "hvb.", "hvr."), r"hv[sbr]\.[A-Za-z0-9_-]{24,255}"),
    # It begins with a set of characters, so that all others are skipped at once: many texts have a colon.
    (
        "Telegram token",
        (":",),
        r"[0-9](?<![0-9A-Za-z][0-9])[0-9]{7,9}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
    ),
    (
        "API token",
        (
            "lin_api_",
            "secret_",
            "ntn_",
            "NRAK-",
            "glsa_",
            "glc_",
            "dp.",
            "sbp_",
            "sb_secret_",
            "figd_",
            "gsk_",
            "tskey-",
            "xai-",
            "pplx-",
            "nvapi-",
            "r8_",
            "tvly-",
            "sntry",
            "PMAK-",
            "dckr_pat_",
            "rubygems_",
            "pul-",
            "ATATT3",
            "fm2_",
            "cfat_",
            "fo1_",
            "rnd_",
            "pscale_",
        ),
        r"(?<![A-Za-z0-9])(?:lin_api_[A-Za-z0-9]{32,64}|(?:secret|ntn)_[A-Za-z0-9]{40,64}|NRAK-[A-Z0-9]{27}"
        r"|glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}|glc_[A-Za-z0-9+/=]{32,512}"
        r"|dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{32,100}|sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,64}"
        r"|figd_[A-Za-z0-9_-]{36,64}|gsk_[A-Za-z0-9]{40,64}|tskey-[a-z]{0,12}-?[A-Za-z0-9]{8,24}-[A-Za-z0-9]{16,64}"
        r"|(?:xai|pplx|nvapi|tvly)-[A-Za-z0-9_-]{30,128}|r8_[A-Za-z0-9]{37}|sntry[su]_[A-Za-z0-9+/=_]{40,512}"
        r"|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|dckr_pat_[A-Za-z0-9_-]{24,64}|rubygems_[0-9a-f]{48}|pul-[0-9a-f]{40}"
        r"|ATATT3[A-Za-z0-9+/=_-]{60,512}|(?:fm2|fo1|cfat)_[A-Za-z0-9+/=_-]{32,1024}|rnd_[A-Za-z0-9]{28,64}"
        r"|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9._-]{32,64})",
    ),
    ("mimo key", ("mimo_",), r"(?<![A-Za-z0-9])mimo_[A-Za-z0-9_-]{32,64}"),
    (
        "signed token",
        ("eyJ",),
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{10,2048}",
    ),
)

# Called a secret by the text: only the group `value` is taken, and only if it does not read like a word. What is
# called a password was often chosen by a person, so less is asked of it. "Pass" alone is mostly a verb.
_CHOSEN = r"pass(?:word|wd|phrase|code|wort)|kennwort|pwd|pass(?=[\"'`*_)\]]{0,3}[ \t]{0,4}[:=])"
_NAMES = (
    rf"(?:{_CHOSEN}|secrets?|(?:secret|access|api|auth|private|signing|encryption|account)[_ .-]?key"
    r"|apikey|(?:access|auth|refresh|bearer|session|api|id)?[_ .-]?token|client[_ .-]?secret|credentials?)"
)
# To search for these is slow and what they hint at is common, so there is a pattern besides for how it goes on
# behind the hint, in small letters, where there is more to it than a word of prose.
_CALLED: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "password in an address",
        ("://",),
        r"[^\s:/@\"'<>]{0,128}:[^\s:/@\"'<>]{3,256}@",
        r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,128}:(?P<value>[^\s:/@\"'<>]{3,256})@",
    ),
    (
        "password in a command",
        ("mysql", "mariadb", "sshpass", "curl"),
        r"[^\n|;&]{0,220}?[ ]-[pu]",
        # -p with its value right behind it, which -P (a port) has not; and nothing of `--password`, which is below.
        r"\b(?:sshpass[ ]{1,4}(?-i:-p)[ ]{0,4}"
        r"|(?:mysql|mariadb)[a-z-]{0,12}[ ](?:[^\n|;&]{0,200}?[ ])??(?-i:-p)(?!assw|rot|ort\b)"
        r"|curl[ ](?:[^\n|;&]{0,200}?[ ])??(?-i:-u)[ ]{0,4}[\"']?[^\s:\"']{1,64}:)"
        r"[\"']?(?P<value>[^\s\"'|;&<>]{3,128})",
    ),
    (
        "authorization",
        ("bearer", "basic", "token"),
        r"[ ]{1,4}[a-z0-9+/=._~-]{20}",
        r"\b(?:bearer|basic|token)[ ]{1,4}(?P<value>[A-Za-z0-9+/=._~-]{20,4096})",
    ),
    (
        "secret",
        ("pass", "pwd", "kennwort", "secret", "key", "token", "credential"),
        r"(?:word|wd|phrase|code|wort|s)?[\"'`*_)\]]{0,3}[ \t]{0,4}(?::|=|\bis\b|\bwas\b|\bist\b)",
        rf"(?:\b|_)(?P<name>{_NAMES})[\"'`*_)\]]{{0,3}}[ \t]{{0,4}}(?::=|=>|:|=|\b(?:is|was|ist)\b)[ \t]{{0,4}}"
        r"[\"'`]{0,2}(?P<value>[^\s\"'`,;<>(){}\[\]]{6,512})",
    ),
    (
        "secret",
        ("--pass", "--token", "--secret", "--api-key"),
        r"(?:word|wd)?[ ]{1,4}\S{6}",
        r"--(?P<name>password|passwd|pass|token|secret|api-key)[ ]{1,4}[\"']?(?P<value>[^\s\"'`,;<>(){}\[\]]{6,512})",
    ),
)

_SHORTEST_SHAPE = 15
_SHAPE_PATTERNS = tuple((name, hints, re.compile(pattern, re.ASCII)) for name, hints, pattern in _SHAPES)
_CALLED_PATTERNS = tuple(
    (name, hints, re.compile(pattern, re.IGNORECASE | re.ASCII)) for name, hints, _, pattern in _CALLED
)
_BEHIND = tuple(re.compile(behind, re.ASCII) for _, _, behind, _ in _CALLED)
# Most texts have neither of the two signs that most shapes have, and then half of the hints need not be looked for.
_SHAPE_HINTS = tuple(
    (sign, tuple((hint, at) for hint, at in every if next((c for c in "_-" if c in hint), "") == sign))
    for every in [[(hint, at) for at, (_, hints, _) in enumerate(_SHAPE_PATTERNS) for hint in hints]]
    for sign in ("", "_", "-")
)
_CALLED_HINTS = tuple((hint, at) for at, (_, hints, _) in enumerate(_CALLED_PATTERNS) for hint in hints)
_PLACEHOLDER = re.compile(
    r"^(?:x{3,}|\*{3,}|\.{3,}|[-_]{2,}|your|my[_-]|the[_-]|example|changeme|placeholder|redacted|none|null|undefined|true|false"
    r"|required|optional|string|env\b|process\.|os\.|\$|%|<|\[|config|settings|secrets\.|self\.|args\.|vault:)",
    re.IGNORECASE,
)

# `src/auth2.py`, `v1.2`, `users.id2`, `Ctrl+F4`: names of things, not secrets.
_REFERENCE = re.compile(
    r"(?:[A-Za-z_]\w{0,40}[./]){1,8}\w{1,40}(?:\.\w{1,8})?|v?\d{1,4}(?:\.\d{1,6}){1,3}\w{0,10}"
    r"|(?:Ctrl|Alt|AltGr|Shift|Cmd|Meta|Win)(?:\+\w{1,8}){1,3}"
)
# `user_id2`, `max_tokens_16k`
_VARIABLE = re.compile(r"_?[A-Za-z]{2,20}(?:_[A-Za-z]{1,20}){1,5}_?\d{0,3}[A-Za-z]{0,2}")
# No word is so long in one piece, nor are four words joined by chance.
_WORDS_RUN_TOGETHER = re.compile(r"[a-z]{20,64}|[a-z]{3,12}(?:[-.][a-z]{3,12}){3,8}")
_FIELD = re.compile(
    r"pass|wort|string|text|field|secret|hidden|required|optional|invalid|change|forgot", re.IGNORECASE
)


def redact(text: str) -> Redacted:
    """The text with each secret replaced by its name in brackets."""
    return redactor([text])(text)


def kind_of_secret(name: str) -> str | None:
    """What a name holds that has the shape of a secret. That a name is only called one says little."""
    if len(name) < _SHORTEST_SHAPE:
        return None
    for sign, hints in _SHAPE_HINTS:
        if sign in name:
            for hint, at in hints:
                if hint in name and _SHAPE_PATTERNS[at][2].search(name):
                    return _SHAPE_PATTERNS[at][0]
    kind, (hint, *_), pattern = _CALLED_PATTERNS[0]
    address = pattern.search(name) if hint in name else None
    return kind if address and _looks_secret(address, known_place=True) else None


def redactor(texts: Sequence[str]) -> Callable[[str], Redacted]:
    """`redact` for texts that come together. Few have a secret: what none of them hints at is looked for once."""
    together = "\n".join(texts)
    lowered = together.lower()
    shapes = [
        (hint, at)
        for sign, hints in _SHAPE_HINTS
        if sign in together
        for hint, at in hints
        if hint in together
    ]
    called = [(hint, at) for hint, at in _CALLED_HINTS if hint in lowered]
    return lambda text: _redacted(text, shapes, called)


def _redacted(text: str, shapes: Sequence[tuple[str, int]], called: Sequence[tuple[str, int]]) -> Redacted:
    found: list[str] = []
    hinted = {at for hint, at in shapes if hint in text}
    for at in sorted(hinted):
        name, _, pattern = _SHAPE_PATTERNS[at]
        text, times = pattern.subn(f"[redacted {name}]", text)
        found += [name] * times
    lowered = text.lower() if called else ""
    for at in sorted({at for hint, at in called if _goes_on(lowered, hint, _BEHIND[at])}):
        name, _, pattern = _CALLED_PATTERNS[at]

        def by_name(match: re.Match[str], name: str = name) -> str:
            known_place = name.startswith("password in")
            if not _looks_secret(match, known_place=known_place):
                return match[0]
            found.append(name)
            start, end = match.start("value") - match.start(), match.end("value") - match.start()
            return f"{match[0][:start]}[redacted {name}]{match[0][end:]}"

        text = pattern.sub(by_name, text)
    return Redacted(text, tuple(found))


def _goes_on(lowered: str, hint: str, behind: re.Pattern[str]) -> bool:
    at = lowered.find(hint)
    while at >= 0:
        at += len(hint)
        if behind.match(lowered, at):
            return True
        at = lowered.find(hint, at)
    return False


def _looks_secret(match: re.Match[str], *, known_place: bool) -> bool:
    """Whether somebody chose or drew this, rather than wrote it as a word."""
    value = match["value"].rstrip(".!?:")
    if _PLACEHOLDER.match(value):
        return False
    if known_place:
        return True
    name = (match.groupdict().get("name") or "").lower()
    is_password = name.startswith(("pass", "pwd", "kennwort"))
    digits = sum(character.isdigit() for character in value)
    letters = sum(character.isalpha() for character in value)
    signs = len(value) - digits - letters
    if digits == len(value):  # a short number is a port, a date, a count
        return len(value) >= (10 if not is_password else 8 if name == "pass" else 6)
    if len(value) >= 20 and entropy(value) >= 3.0 and (digits or _mixes_case(value)):
        return True
    if is_password and (_WORDS_RUN_TOGETHER.fullmatch(value) or _is_quoted_word(match, value)):
        return True
    # A short one is taken when it mixes what prose does not mix: letters with digits, or with signs inside.
    inner_signs = sum(not character.isalnum() and character not in "-_./" for character in value[1:-1])
    mixed = bool(letters) and (digits >= 1 or inner_signs >= 1)
    return (
        mixed
        and len(value) >= 6
        and entropy(value) >= 2.0
        and signs <= len(value) // 2
        and not _REFERENCE.fullmatch(value)
        and ((is_password and name != "pass") or not _VARIABLE.fullmatch(value))
    )


def _is_quoted_word(match: re.Match[str], value: str) -> bool:
    """`password="swordfish"`: in quotes, to its end, and no name of a type or of a field."""
    around = match.string[match.start("value") - 1], match.string[match.end("value") : match.end("value") + 1]
    return around[0] == around[1] in {'"', "'"} and value.isalpha() and not _FIELD.search(value)


def _mixes_case(value: str) -> bool:
    inner = value[1:]
    return inner != inner.lower() and inner != inner.upper()


def entropy(text: str) -> float:
    """Bits in a character, by how often each occurs in the text itself."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
