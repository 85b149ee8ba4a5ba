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
        # The body is taken possessively, so that a thousand beginnings without an end stay linear.
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[A-Za-z0-9+/=\s:,.()]|-(?!----)){16,20000}+(?:-----END [A-Z0-9 ]{0,60}-----)?",
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
    ("mimo key", ("mimo_",), r"(?<![A-Za-z0-9])mimo_[A-Za-z0-9_-]{32,64}"),
    (
        "signed token",
        ("eyJ",),
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{10,2048}",
    ),
)

# Called a secret by the text: only the group `value` is taken, and only if it does not read like a word.
_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secrets?|(?:secret|access|api|auth|private|signing|encryption|account)[_ .-]?key"
    r"|apikey|(?:access|auth|refresh|bearer|session|api|id)?[_ .-]?token|client[_ .-]?secret|credentials?)"
)
_CALLED: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "password in an address",
        ("://",),
        r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,128}:(?P<value>[^\s:/@\"'<>]{3,256})@",
    ),
    (
        "authorization",
        ("bearer", "basic", "token"),
        r"\b(?:bearer|basic|token)[ ]{1,4}(?P<value>[A-Za-z0-9+/=._~-]{20,4096})",
    ),
    (
        "secret",
        ("pass", "pwd", "secret", "key", "token", "credential"),
        rf"(?:\b|_){_NAMES}[\"'`*_)\]]{{0,3}}[ \t]{{0,4}}(?::=|=>|:|=|\bis\b|\bwas\b)[ \t]{{0,4}}[\"'`]{{0,2}}"
        r"(?P<value>[^\s\"'`,;<>(){}\[\]]{6,512})",
    ),
)

_SHAPE_PATTERNS = tuple((name, hints, re.compile(pattern, re.ASCII)) for name, hints, pattern in _SHAPES)
_CALLED_PATTERNS = tuple(
    (name, hints, re.compile(pattern, re.IGNORECASE | re.ASCII)) for name, hints, pattern in _CALLED
)
_SHAPE_HINTS = tuple((hint, at) for at, (_, hints, _) in enumerate(_SHAPE_PATTERNS) for hint in hints)
_CALLED_HINTS = tuple((hint, at) for at, (_, hints, _) in enumerate(_CALLED_PATTERNS) for hint in hints)
_PLACEHOLDER = re.compile(
    r"^(?:x{3,}|\*{3,}|\.{3,}|-+|_+|your|my[_-]|the[_-]|example|changeme|placeholder|redacted|none|null|undefined|true|false"
    r"|required|optional|string|env\b|process\.|os\.|\$|%|<|\[|config|settings|secrets\.|self\.|args\.|vault:)",
    re.IGNORECASE,
)


def redact(text: str) -> Redacted:
    """The text with each secret replaced by its name in brackets."""
    return redactor([text])(text)


def redactor(texts: Sequence[str]) -> Callable[[str], Redacted]:
    """`redact` for texts that come together. Few have a secret: what none of them hints at is looked for once."""
    together = "\n".join(texts)
    lowered = together.lower()
    shapes = [(hint, at) for hint, at in _SHAPE_HINTS if hint in together]
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
    for at in sorted({at for hint, at in called if hint in lowered}):
        name, _, pattern = _CALLED_PATTERNS[at]

        def by_name(match: re.Match[str], name: str = name) -> str:
            value = match["value"]
            if not _looks_secret(value, in_address=name.endswith("address")):
                return match[0]
            found.append(name)
            start, end = match.start("value") - match.start(), match.end("value") - match.start()
            return f"{match[0][:start]}[redacted {name}]{match[0][end:]}"

        text = pattern.sub(by_name, text)
    return Redacted(text, tuple(found))


def _looks_secret(value: str, *, in_address: bool) -> bool:
    """Whether somebody chose or drew this, rather than wrote it as a word."""
    value = value.rstrip(".!?:")
    if _PLACEHOLDER.match(value):
        return False
    if in_address:
        return True
    digits = sum(character.isdigit() for character in value)
    letters = sum(character.isalpha() for character in value)
    signs = len(value) - digits - letters
    if digits == len(value):
        return len(value) >= 10  # a shorter number is a port, a date, a count
    if len(value) >= 20 and entropy(value) >= 3.0 and (digits or _mixes_case(value)):
        return True
    # A short one is taken when it mixes what prose does not mix: letters with digits, or with signs inside.
    inner_signs = sum(not character.isalnum() and character not in "-_./" for character in value[1:-1])
    mixed = bool(letters) and (digits >= 1 or inner_signs >= 1)
    return (
        mixed
        and len(value) >= 6
        and entropy(value) >= 2.0
        and signs <= len(value) // 2
        and not _is_reference(value)
    )


def _mixes_case(value: str) -> bool:
    inner = value[1:]
    return inner != inner.lower() and inner != inner.upper()


def _is_reference(value: str) -> bool:
    """`src/auth2.py`, `v1.2`, `users.id2`: names of things in code, not secrets."""
    return bool(
        re.fullmatch(
            r"(?:[A-Za-z_]\w{0,40}[./]){1,8}\w{1,40}(?:\.\w{1,8})?|v?\d{1,4}(?:\.\d{1,6}){1,3}\w{0,10}", value
        )
    )


def entropy(text: str) -> float:
    """Bits in a character, by how often each occurs in the text itself."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
