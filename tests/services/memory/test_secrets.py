"""Secrets do not get into the memory, and prose gets in as it is."""

import random
import string
import time
from collections.abc import Callable, Iterator

import pytest

from mimo.services.memory.secrets import Redacted, kind_of_secret, redact

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
BASE64 = ALNUM + "+/"
WORDS = ["correct", "horse", "battery", "staple", "sunflower", "table", "orange"]


def drawn(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def pem(rng: random.Random, kind: str) -> str:
    lines = "\n".join(drawn(rng, BASE64, 64) for _ in range(12))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


def chosen(rng: random.Random) -> str:
    """As people choose them: `Lw31-qrst-Mn`."""
    parts = (string.ascii_uppercase, 1), (string.ascii_lowercase, 1), (string.digits, 2)
    return "".join(drawn(rng, *part) for part in parts) + "-" + drawn(rng, string.ascii_lowercase, 4) + "-Mn"


RUN_TOGETHER = [
    "PGPASSWORD=", "DBPASSWORD=", "dbPassword: ", "rootpw=", "ADMINPASS=", "smtpPassword = ", "MYSQL_PWD=", "pw: ",
    'PGPASSWORD="', "pgpassword: ", "spring.datasource.hikariPassword=", "userpass: ", "botToken: 'x", "jwtSecret: ",
]  # fmt: skip
BETWEEN = [
    "api key for prod: ", "the API key of the billing service: ", "the token for staging is ", "API_KEY (prod): ",
    "secret key for the new webhook = ", "The access token for api.example.com was ", "auth token (ci) is ",
    "**API key for prod:** ", "the secret used by the webhook: ", "The token we use for staging is ",
]  # fmt: skip
COOKIES = [
    "Cookie: session=", "Cookie: theme=dark; sessionid=", "Set-Cookie: sid=", "'cookie': 'connect.sid=s%3A",
    "curl --cookie 'JSESSIONID=", "Cookie: __Secure-next-auth.session-token=",
]  # fmt: skip


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
    "pem in json": lambda r: '{"private_key": "' + pem(r, "").replace("\n", "\\n") + '\\n"}',
    "linear": lambda r: "lin_" + "api_" + drawn(r, ALNUM, 40),
    "notion": lambda r: r.choice(["sec" + "ret_", "nt" + "n_"]) + drawn(r, ALNUM, 43),
    "new relic": lambda r: "NR" + "AK-" + drawn(r, string.ascii_uppercase + string.digits, 27),
    "grafana": lambda r: "gl" + "sa_" + drawn(r, ALNUM, 32) + "_" + drawn(r, HEX, 8),
    "doppler": lambda r: "dp" + ".pt." + drawn(r, ALNUM, 43),
    "supabase": lambda r: "sb" + "p_" + drawn(r, HEX, 40),
    "figma": lambda r: "fi" + "gd_" + drawn(r, ALNUM + "-_", 40),
    "groq": lambda r: "gs" + "k_" + drawn(r, ALNUM, 52),
    "tailscale": lambda r: "ts" + "key-" + r.choice(["auth-", "api-", ""]) + drawn(r, ALNUM, 12) + "-" + drawn(r, ALNUM, 32),
    "vendors": lambda r: r.choice(["x" + "ai-", "ppl" + "x-", "nv" + "api-"]) + drawn(r, ALNUM, 64),
    "docker": lambda r: "dckr" + "_pat_" + drawn(r, ALNUM, 27),
    "mysql": lambda r: r.choice(["mysql -u root -h db.local ", "mysqldump ", "mariadb -uapp "]) + "-p" + drawn(r, ALNUM, 10),
    "sshpass": lambda r: "sshpass -p " + r.choice(["", "'"]) + drawn(r, string.ascii_lowercase, 9),
    "curl": lambda r: "curl -s https://example.com -u admin:" + drawn(r, ALNUM, 8),
    "flag": lambda r: r.choice(["--password ", "--token ", "--api-key "]) + drawn(r, ALNUM, 16) + "7",
    "pass": lambda r: r.choice(["pass: ", "PASS=", "db_pass = "]) + drawn(r, string.ascii_lowercase, 5) + drawn(r, string.digits, 3),
    "passwort": lambda r: r.choice(["Passwort: ", "das Passwort ist ", "Kennwort: "]) + drawn(r, ALNUM, 8) + "4!x",
    "lower case": lambda r: "password is " + drawn(r, string.ascii_lowercase, 6) + drawn(r, string.digits, 2),
    "digits": lambda r: r.choice(["password: ", "the password is ", "passcode = "]) + drawn(r, string.digits, 8),
    "words": lambda r: "password=" + "".join(r.choice(WORDS) for _ in range(5)),
    "joined words": lambda r: "passphrase: " + "-".join(r.choice(WORDS) for _ in range(4)),
    "quoted": lambda r: f'password="{drawn(r, string.ascii_lowercase, 9)}"',
    "run together": lambda r: r.choice(RUN_TOGETHER) + chosen(r),
    "bold": lambda r: r.choice(["**Password:** ", "- **API key**: ", "**Token:** `"]) + chosen(r),
    "words between": lambda r: r.choice(BETWEEN) + drawn(r, ALNUM, 40),
    "password for": lambda r: r.choice(["password for the wifi: ", "the passphrase of my laptop is ", "das Passwort für den Server ist "]) + chosen(r),
    "hex in brackets": lambda r: r.choice(["private key (hex): 0x", "signing key (testnet) = "]) + drawn(r, HEX, 64),
    "netrc": lambda r: r.choice(["machine api.example.com login ada password ", "login ada\n  password ", "user ada pass "]) + chosen(r),
    "cookie": lambda r: r.choice(COOKIES) + drawn(r, ALNUM, 32),
    "sas": lambda r: "https://example.blob.core/a?sv=2022-11-02&sp=r&sig=" + drawn(r, ALNUM, 41) + "%3D",
    "token in url": lambda r: r.choice(["https://", "git clone https://"]) + drawn(r, ALNUM, 40) + "@github.com/a/b",
    "token as user": lambda r: "https://" + drawn(r, ALNUM, 40) + ":x-oauth-basic@github.com/a/b",
    "redis": lambda r: r.choice(["redis-cli -a ", "redis-cli -h cache.local -p 6380 -a ", "REDISCLI_AUTH="]) + drawn(r, ALNUM, 14) + "7",
    "putty": lambda r: "Private-Lines: 3\n" + "\n".join(drawn(r, BASE64, n) for n in (64, 64, 40)) + "\nPrivate-MAC: 00ff",
    "terraform": lambda r: drawn(r, ALNUM, 14) + ".atlas" + "v1." + drawn(r, ALNUM, 67),
    "netlify": lambda r: "nf" + "p_" + drawn(r, ALNUM, 36),
    "airtable": lambda r: "pa" + "t" + drawn(r, ALNUM, 14) + "." + drawn(r, HEX, 64),
    "square": lambda r: "EA" + "AA" + drawn(r, ALNUM, 59) + "7",
    "dropbox": lambda r: "s" + "l." + r.choice(["", "u."]) + drawn(r, ALNUM + "-_", 140),
    "mapbox": lambda r: "s" + "k.ey" + "J1" + drawn(r, ALNUM, 60) + "." + drawn(r, ALNUM, 22),
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
    if kind == "putty":
        return secret.splitlines()[2]
    if kind in {"token in url", "token as user"}:
        return secret.split("//")[1].split("@")[0].split(":")[0]
    if kind == "sas":
        return secret.split("sig=")[1]
    if kind == "pem in json":
        return secret.split("\\n")[3]
    if kind == "mysql":
        return secret.split("-p")[-1]
    if kind == "curl":
        return secret.split(":")[-1]
    if kind == "url":
        return secret.split(":")[2].split("@")[0]
    return secret.split()[-1].split("=")[-1].strip("\"'`)") if kind != "aws secret" else secret.split()[-1]


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
token is user_id2 in the schema; the access key is AltGr+F4; max_tokens=4096 and the token: max_tokens_16k.
The first pass: 1234567 rows. All tests pass: test_login2 and tests/test_auth3.py, too. A boarding pass is on the table.
mkdir -p /srv/data and mysql -u root -p, then mysql --port 3306; mysql is on -p too; curl -u $NAME:$PASS works.
{"password": "string", "token": "string"}; password: "required"; Passwort vergessen? The password is internationalised.
password is case-sensitive; key: sort-by-date2; the secret: my_secret_name; pass: see-the-notes. dp.pt is a domain.
The secret key is called SESSION_KEY_NAME in the code base. The passphrase: correct horse battery staple.
bob ALL=(ALL) NOPASSWD: /usr/bin/apt2; the compass: north43west; bypass=route66b; OLDPWD=/home/ada2/src; PWD=/srv/www2
The token for staging is rotated weekly, the API key of the billing service: see the vault; the secret of soup: patience2.
The API key for the search service is src/search/keys2/readme.md; the token (opaque): an_id_v2_of_the_session.
The access token for the staging cluster is internationalization-settings-of-2024, which is a name.
The token for staging expired, and the commit was 9fceb02d0ae598e95dc970b74767f19372d61af8.
Each user enters password twice; the login page password field is optional; login bob password required; login anonymous password a@b.c1
Cookie: theme=dark; lang=en; The session cookie: sid=<id>, and session=none; cookies = session=enabled, consent=true
https://ada-lovelace-of-the-long-name@github.com/a/b and pip install git+https://github.com/a/b@9fceb02d0ae598e95dc970b74767f19372d61af8
redis-cli -a and --pass are the same; redis-cli -h cache -p 6379; redis-cli -a $REDIS_PASS ping; SMTP_AUTH=oauth2, MONGO_AUTH=scram-sha-256
Private-Lines: 14 and what follows is the body of the key; the sig=fixed in commit 12; design=modern; sk.eyJ is secret
The pattern pat1234 and patAcme.example; atlasv1 is a prefix, nfp_total_2024; EAAAprefix; sl.wikipedia.org is Slovene; pk.eyJ is public
**Password:** ********; **Token:** see below; the password we use for prod is secret; the token used by ci: CI_TOKEN2
dbPassword: process.env.DB_PASSWORD2; PGPASSWORD=$PG2 psql; rootpw --iscrypted; botToken: config.bot.token2; pw = None; pwd
""".strip().splitlines()


def test_prose_is_stored_word_for_word() -> None:
    sentences = [sentence for line in PROSE for sentence in line.split(". ")]
    changed = [(sentence, redact(sentence).text) for sentence in sentences if redact(sentence).found]
    assert len(changed) <= len(sentences) * 0.01, changed


def test_what_was_looked_through_stays_as_it_is_when_it_is_looked_through_again() -> None:
    for _, _, text in planted():
        once = redact(text)
        assert redact(once.text) == Redacted(once.text, ()), text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("D1:3", None),
        ("9fceb02d0ae598e95dc970b74767f19372d61af8", None),
        ("https://example.com/a?token=see-below", None),
        ("session-token: 8f3a9b2c77", None),
        ("gh" + "p_" + "a1B2" * 9, "GitHub token"),
        ("ticket/" + "lin_" + "api_" + "a1B2" * 10, "API token"),
        ("postgres://app:hunter22@db/main", "password in an address"),
        ("https://" + "a1B2c3d4E5f6" * 3 + "@example.com/a", "token in an address"),
    ],
)
def test_a_name_is_judged_by_its_shape_alone(name: str, kind: str | None) -> None:
    assert kind_of_secret(name) == kind


@pytest.mark.parametrize("before", [*RUN_TOGETHER, *BETWEEN, *COOKIES])
def test_a_secret_is_taken_behind_each_of_its_names(before: str) -> None:
    secret = "Lw31qrstMn" if before in RUN_TOGETHER else "Lw31qrstMn77" * 3 + "x"
    assert secret not in redact(f"I noted {before}{secret} there.").text


def test_every_cookie_of_a_session_is_taken_and_what_is_not_secret_stays() -> None:
    rng = random.Random(3)
    one, other = drawn(rng, ALNUM, 32), drawn(rng, ALNUM, 32)
    redacted = redact(f"Cookie: sid={one}; theme=dark; auth={other}; Path=/")
    assert redacted.text == "Cookie: sid=[redacted cookie]; theme=dark; auth=[redacted cookie]; Path=/"


def test_of_what_stands_between_a_name_and_its_secret_nothing_is_lost() -> None:
    secret = drawn(random.Random(4), ALNUM, 40)
    assert redact(f"The API key of the billing service: {secret}, since May.").text == (
        "The API key of the billing service: [redacted secret], since May."
    )


TOKEN = "Zx9aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1x"
CHOSEN = "Lw31-qrst-Mn"
LINES = [drawn(random.Random(n), BASE64, 64) for n in range(6)] + ["MIIEow=="]
HEAD, FOOT = "-----BEGIN RSA " + "PRIVATE KEY-----", "-----END RSA " + "PRIVATE KEY-----"
KEY = "\n".join([HEAD, *LINES, FOOT])
BLANKS = ["\t", "  ", "\xa0", "\u2009", "\u202f", "\u3000"]
UNSEEN = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff"]
# What stands before the secret, the secret, and what stands behind it.
TYPED_ELSEWHERE = [
    *(
        case
        for blank in BLANKS
        for case in [
            (f"Authorization: Bearer{blank}", TOKEN, f"{blank}– ok"),
            (f"Bearer{blank}", TOKEN, ""),
            (f"password{blank}={blank}", TOKEN, f"{blank}since\u2028May"),
            (f"the password{blank}is{blank}", CHOSEN, ""),
            (f"login{blank}bob{blank}password{blank}", CHOSEN, "\n"),
            (f"curl{blank}-u{blank}bob:", CHOSEN, f"{blank}https://example.com"),
            (f"mysql{blank}-u{blank}root{blank}-p", CHOSEN, ""),
            (f"--token{blank}", TOKEN, ""),
            ("", KEY.replace("BEGIN RSA ", f"BEGIN{blank}RSA{blank}"), f"{blank}end"),
            ("", KEY.replace("PRIVATE KEY", f"PRIVATE{blank}KEY"), ""),
            ("see\n", KEY.replace("\n", blank), "\n."),
        ]
    ),
    *(
        case
        for end in ["\u2028", "\u2029", "\x85", "\r\n", "\x0b"]
        for case in [
            ("a" + end, KEY.replace("\n", end), end + "b"),
            (f"password:{end}", TOKEN, f"{end}b"),
            ("é password: a\u2028Token: ", TOKEN, end),
        ]
    ),
    *(
        case
        for unseen in UNSEEN
        for case in [
            (f"a{unseen}b ", KEY.replace("\n", unseen + "\n"), f"{unseen} c{unseen}"),
            ("", unseen.join(KEY), ""),
            ("", KEY.replace("\n", unseen), f"{unseen}"),
            (
                f"{unseen}pass{unseen}word{unseen}:{unseen} {unseen}",
                unseen.join(TOKEN),
                f"{unseen} c{unseen}",
            ),
            (f"{unseen}Bearer{unseen}", TOKEN, f"{unseen}"),
            (f"Bearer {unseen}", TOKEN, f"{unseen}, then"),
            ("a ", unseen.join("gh" + "p_" + "a1B2" * 9), f" {unseen}"),
        ]
    ),
    ("\u201cpassword\u201d: \u201c", TOKEN, "\u201d, \u201cx\u201d: \u2018y\u2019"),
    ("\u201epassword\u201c: \u201e", "swordfish", "\u201c"),
    ("\u2018token\u2019 = \u2018", TOKEN, "\u2019"),
    ("{\xabapi_key\xbb: \xab", TOKEN, "\xbb}"),
    ("my password: ", "Lw31\u2019qrst9", ""),
    ("password\uff1a", CHOSEN, ""),
    ("password\uff1d", TOKEN, ""),
    ("On Monday:\n> ", KEY.replace("\n", "\n> "), "\n> Regards"),
    ("> > ", KEY.replace("\n", "\n> > "), "\n"),
    ("key = '", KEY.replace("\n", "\\n' +\n      '"), "'\nprint(key)"),
    ('key = "', KEY.replace("\n", '\\n"\n    "'), '"\nprint(key)'),
    ("| key | ", KEY.replace("\n", " |\n| | "), " |"),
    ("| ", KEY.replace("\n", " | "), " |\n| b |"),
    ("<p>", KEY.replace("\n", "<br>\n"), "</p>"),
    ("# ", KEY.replace("\n", "\n# "), "\n# end"),
    ("Password:\n", TOKEN, ""),
    ("Password:\n", CHOSEN, "\n\nThe end."),
    ("**API key:**\r\n\r\n", TOKEN, "\r\nThe end."),
    ("Token:\n```text\n", TOKEN, "\n```"),
    ("<apiKey>", TOKEN, "</apiKey>"),
    ("<c><password>", CHOSEN, "</password><port>8080</port></c>"),
    ('<db:password type="plain">\n  <![CDATA[', CHOSEN, "]]>\n</db:password>"),
]


@pytest.mark.parametrize(("before", "secret", "behind"), TYPED_ELSEWHERE)
def test_a_secret_that_was_not_typed_on_a_keyboard_is_taken_and_nothing_but_it(
    before: str, secret: str, behind: str
) -> None:
    redacted = redact(before + secret + behind)
    assert len(redacted.found) == 1
    assert redacted.text == f"{before}[redacted {redacted.found[0]}]{behind}"


@pytest.mark.parametrize(
    "text",
    [
        "\u201cThe password policy\u201d is\u00a0strict\u2009: at least twelve\u200bcharacters\u3002",
        'if text.startswith("-----BEGIN ' + 'PRIVATE KEY-----"):\n    return \'a key\' + names["it"]\n',
        "The header `-----BEGIN " + "PRIVATE KEY-----` | begins it > always\n| and | more |",
        "Password:\nat least twelve characters2 and a sign\n",
        "password:\n  required: true\n  pattern2: word\ntoken:\n  type2: string\n",
        "Secrets:\n- API_KEY2\n- DB_PASSWORD2\nToken:\nsession-token\n",
        "All tests pass:\ntest_login2\ntests/test_auth3.py",
        "<password>string</password><token>CI_TOKEN2</token><apiKey>${API_KEY2}</apiKey><password></password>",
        "The families \U0001f468\u200d\U0001f469\u200d\U0001f467 keep their secret\uff1a patience.",
    ],
)
def test_what_only_looks_like_it_stays_to_the_letter(text: str) -> None:
    assert redact(text) == Redacted(text, ())


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
        "mysql ",
        "mysql -",
        "sshpass -p",
        "curl -u a",
        "pass-word-",
        "password is aaa-",
        "tskey-a",
        "dp.pt.",
        "--token ",
        "sess",
        "cookie: sess=",
        "token for ",
        "api key for a b c d e ",
        "secret (",
        "userlogin ",
        "login a pass",
        "redis-cli -a",
        "Private-Lines: 1\n",
        "a.atlasv1.",
        "https://a1",
        "dbpassw",
        "sig=",
        "sl.u.",
        "\t",
        "\u200b",
        "password\u200b:\xa0",
        "-----BEGIN " + "PRIVATE KEY-----'",
        "-----BEGIN " + "PRIVATE KEY-----" + "> " * 11 + "a" * 24,
        "-----BEGIN " + "PRIVATE KEY-----" + ">" * 23 + "a" * 23,
        "'>>>>>>>>>>>>>>>>>>>>>>>" + "a" * 24,
        "password:\n",
        "password:\naaaaaaa:",
        "<token ",
        "<token>",
        "<token>aaaaaaa",
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
