"""Secrets do not get into the memory, and prose gets in as it is."""

import random
import string
import time
from collections.abc import Callable, Iterator

import pytest

from mimo.services.memory.secrets import redact

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
BASE64 = ALNUM + "+/"


def drawn(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def pem(rng: random.Random, kind: str) -> str:
    lines = "\n".join(drawn(rng, BASE64, 64) for _ in range(12))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


# Each makes a secret that was never anybody's. Assembled here, so that no scanner takes this file for a leak.
KINDS: dict[str, Callable[[random.Random], str]] = {
    "pem": lambda r: pem(r, r.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])),
    "aws id": lambda r: r.choice(["AK", "AS"]) + "IA" + drawn(r, string.ascii_uppercase + string.digits, 16),
    "aws secret": lambda r: "aws_secret_access_key = " + drawn(r, BASE64, 40),
    "github": lambda r: "gh" + r.choice("pousr") + "_" + drawn(r, ALNUM, 36),
    "github fine": lambda r: "github" + "_pat_" + drawn(r, ALNUM, 22) + "_" + drawn(r, ALNUM, 59),
    "gitlab": lambda r: "gl" + "pat-" + drawn(r, ALNUM + "-_", 20),
    "slack": lambda r: "xo" + "xb-" + drawn(r, string.digits, 12) + "-" + drawn(r, ALNUM, 24),
    "openai": lambda r: "s" + "k-proj-" + drawn(r, ALNUM, 48),
    "anthropic": lambda r: "s" + "k-ant-api03-" + drawn(r, ALNUM + "-_", 90) + "AA",
    "google": lambda r: "AI" + "za" + drawn(r, ALNUM + "-_", 35),
    "stripe": lambda r: "sk" + "_live_" + drawn(r, ALNUM, 24),
    "sendgrid": lambda r: "S" + "G." + drawn(r, ALNUM, 22) + "." + drawn(r, ALNUM, 43),
    "npm": lambda r: "np" + "m_" + drawn(r, ALNUM, 36),
    "hf": lambda r: "h" + "f_" + drawn(r, ALNUM, 34),
    "telegram": lambda r: drawn(r, "123456789", 9) + ":" + drawn(r, ALNUM + "-_", 35),
    "jwt": lambda r: "ey" + "J" + drawn(r, ALNUM, 33) + ".ey" + "J" + drawn(r, ALNUM, 60) + "." + drawn(r, ALNUM + "-_", 43),
    "url": lambda r: f"postgres://app:{drawn(r, ALNUM, r.randint(6, 20))}@db.internal:5432/main",
    "bearer": lambda r: "Authorization: Bearer " + drawn(r, ALNUM + "-_", 40),
    "env": lambda r: r.choice(["API_KEY", "SECRET_KEY", "DB_PASSWORD", "AUTH_TOKEN"]) + "=" + drawn(r, ALNUM, r.randint(16, 40)),
    "json": lambda r: '"' + r.choice(["password", "client_secret", "apiKey", "access_token"]) + '": "' + drawn(r, ALNUM + "!@#$%", 18) + '"',
    "yaml": lambda r: r.choice(["password", "secret", "token"]) + ": " + drawn(r, ALNUM, 20),
    "spoken": lambda r: "the password is " + drawn(r, string.ascii_lowercase, 7) + drawn(r, string.digits, 3) + "!" + drawn(r, ALNUM, 2),
    "hex": lambda r: "api key: " + drawn(r, HEX, 32),
}  # fmt: skip
AROUND = ["{}", "I set it to {} yesterday.", "config:\n{}\nend", "use `{}` for staging", "({})"]


def planted() -> Iterator[tuple[str, str, str]]:
    rng = random.Random(20)
    for kind, make in KINDS.items():
        for n in range(12):
            secret = make(rng)
            yield kind, secret, AROUND[n % len(AROUND)].format(secret)


def core(kind: str, secret: str) -> str:
    """The part of a planted secret that must not be stored."""
    if kind == "pem":
        return secret.splitlines()[3]
    if kind == "url":
        return secret.split(":")[2].split("@")[0]
    return secret.split()[-1].split("=")[-1].strip('"`)') if kind != "aws secret" else secret.split()[-1]


def test_at_least_95_of_100_planted_secrets_are_taken_out() -> None:
    cases = list(planted())
    assert len(cases) >= 200
    missed = [(kind, secret) for kind, secret, text in cases if core(kind, secret) in redact(text).text]
    assert len(missed) <= len(cases) * 0.05, missed


PROSE = """
The token bucket refills every second. We agreed that the password policy is strict: at least twelve characters.
Her secret is that she wakes at five. The API key is stored in the vault, never in the repository.
Use config.password = settings.password in the test. The secret: patience. Token: see the wiki page on auth.
The authentication flow: redirect to /login, then to /callback. The key: value pairs are sorted by name.
Commit 9fceb02d0ae598e95dc970b74767f19372d61af8 fixed the flaky test in src/auth/token2.py.
password: string, required, at most 72 bytes. api_key: ${API_KEY}. Set TOKEN=<your token> before you start.
The sha256 of the file is e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.
The build of 2024-05-23T10:00:00Z took 1234567 ms; request id 550e8400-e29b-41d4-a716-446655440000.
Bearer tokens are refreshed hourly. The basic idea is simple. Our session token is rotated weekly.
See https://example.com/docs/tokens?page=2 and http://localhost:4000/health for what is meant.
Meet Anna at 12:30; her number is 030-1234567. The credential: a badge. Secrets are kept by Tom.
password = None; secret = os.environ["SECRET"]; token = request.headers.get("x-token"); apiKey: process.env.KEY
Access token lifetime is 3600. The private key is on the card. My password was wrong three times.
The secret key is called SESSION_KEY_NAME in the code base. The passphrase: correct horse battery staple.
""".strip().splitlines()


def test_prose_is_stored_word_for_word() -> None:
    sentences = [sentence for line in PROSE for sentence in line.split(". ")]
    changed = [(sentence, redact(sentence).text) for sentence in sentences if redact(sentence).found]
    assert len(changed) <= len(sentences) * 0.01, changed


def test_what_was_taken_is_named_and_the_rest_stays() -> None:
    secret = KINDS["github"](random.Random(1))
    redacted = redact(f"deploy with {secret} on Fridays")
    assert redacted.text == "deploy with [redacted GitHub token] on Fridays"
    assert redacted.found == ("GitHub token",)


@pytest.mark.parametrize(
    "unit",
    [
        "password: ",
        "sk-",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        "a://",
        "token ",
        "=\"'`",
        "AKIA",
        "0",
        "secret_key=",
    ],
)
def test_the_time_is_linear_in_the_text(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * (length // len(unit) + 1))[:length]
        began = time.process_time()
        redact(text)
        return time.process_time() - began

    short, long = min(seconds(25_000) for _ in range(3)), min(seconds(100_000) for _ in range(3))
    # Four times the text takes four times the time; a quadratic rule would take sixteen times.
    assert long < max(8 * short, 0.05)
