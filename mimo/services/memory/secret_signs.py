"""By what a secret is known: the shape that it has, or what the text calls it, or the place where it stands.

Every pattern begins at a literal word and consumes a bounded run of characters. They are matched against a plain copy
of the text (see secrets.py), in which every blank, line end, quote, colon and equals sign is the one of the keyboard.
"""

from __future__ import annotations

from enum import Enum

# What stands between two lines of a key that is quoted in a mail, in source, in a table or in a page. A key's own
# lines are read letter by letter, so this begins with what they have not, and a line of the key or its end follows.
_JOINT = r"(?:\\[nr]|&gt;|[0-9]{1,4}[ :|]|</?[a-z]{1,6}[ ]?/?>|[\s>'\"`|+,;.*#\\]|-(?!----)){1,24}+"
_BETWEEN_LINES = (
    rf"(?=[>'\"`|;*#&<]){_JOINT}(?=[A-Za-z0-9+/=]{{24}}|-----END|[A-Za-z0-9+/=]{{1,80}}+{_JOINT}-----END)"
)

# A shape of its own: a name, what every such secret contains (searched first, because that is fast),
# and the pattern whose whole match is the secret.
SHAPES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "private key",
        ("-----BEGIN",),
        # The body is taken possessively, so that a thousand beginnings without an end stay linear. In JSON, as
        # in the key files of service accounts, its lines end with a backslash and an n.
        # What is no part of a key is taken with it only where a line of it follows.
        r"-----BEGIN[ ]{1,4}(?:[A-Z0-9]{1,20}[ ]{1,4}){0,3}PRIVATE[ ]{1,4}KEY(?:[ ]{1,4}BLOCK)?-----"
        rf"(?:[A-Za-z0-9+/=\s:,.()\\]|-(?!----)|{_BETWEEN_LINES}){{16,20000}}+"
        r"(?:-----END[A-Z0-9 ]{0,60}-----)?",
    ),
    (
        "private key",
        ("Private-Lines:",),
        r"Private-Lines:[ ]{1,4}[0-9]{1,3}(?:\s|\\[rn]){1,4}(?:[A-Za-z0-9+/=]{40,80}(?:(?:\s|\\[rn]){1,4}|$)){1,200}"
        r"(?:[A-Za-z0-9+/=]{4,80}(?![A-Za-z0-9+/=-]))?",
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
            "nfp_",
        ),
        r"(?<![A-Za-z0-9])(?:lin_api_[A-Za-z0-9]{32,64}|(?:secret|ntn)_[A-Za-z0-9]{40,64}|NRAK-[A-Z0-9]{27}"
        r"|glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}|glc_[A-Za-z0-9+/=]{32,512}"
        r"|dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{32,100}|sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,64}"
        r"|figd_[A-Za-z0-9_-]{36,64}|gsk_[A-Za-z0-9]{40,64}|tskey-[a-z]{0,12}-?[A-Za-z0-9]{8,24}-[A-Za-z0-9]{16,64}"
        r"|(?:xai|pplx|nvapi|tvly)-[A-Za-z0-9_-]{30,128}|r8_[A-Za-z0-9]{37}|sntry[su]_[A-Za-z0-9+/=_]{40,512}"
        r"|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|dckr_pat_[A-Za-z0-9_-]{24,64}|rubygems_[0-9a-f]{48}|pul-[0-9a-f]{40}"
        r"|ATATT3[A-Za-z0-9+/=_-]{60,512}|(?:fm2|fo1|cfat)_[A-Za-z0-9+/=_-]{32,1024}|rnd_[A-Za-z0-9]{28,64}"
        r"|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9._-]{32,64}|nfp_[A-Za-z0-9]{36,64})",
    ),
    ("Terraform token", (".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,80}"),
    ("Airtable token", ("pat",), r"pat(?<![A-Za-z0-9]pat)[A-Za-z0-9]{14}\.[0-9a-f]{64}(?![A-Za-z0-9])"),
    (
        "Square token",
        ("EAAA", "sq0"),
        # What begins so may also be the base64 of anything.
        r"(?<![A-Za-z0-9+/=_-])(?:EAAA(?=[A-Za-z_-]{0,59}[0-9])[A-Za-z0-9_-]{56,60}(?![A-Za-z0-9+/=_-])"
        r"|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43})",
    ),
    ("Dropbox token", ("sl.",), r"sl\.(?<![A-Za-z0-9]sl\.)(?:u\.)?[A-Za-z0-9_-]{100,2048}"),
    ("Mapbox token", ("sk.eyJ",), r"sk\.eyJ[A-Za-z0-9_-]{40,512}\.[A-Za-z0-9_-]{20,64}"),
    ("mimo key", ("mimo_",), r"(?<![A-Za-z0-9])mimo_[A-Za-z0-9_-]{32,64}"),
    (
        "signed token",
        ("eyJ",),
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{10,2048}",
    ),
)

# Called a secret by the text: only the group `value` is taken, and only if it does not read like a word. What is
# called a password was often chosen by a person, so less is asked of it. "Pass" alone is mostly a verb, and what
# stands in PWD is where the shell is.
_GIVEN = r"(?=[\"'`*_)\]]{0,3}[ ]{0,4}[:=])"
_CHOSEN = (
    r"pass(?:word|wd|phrase|code|wort)|kennwort|pwd(?![\"']?[ ]?[:=][ ]?[\"']?[/~])"
    rf"|pass{_GIVEN}|pw{_GIVEN}"
)
_NAMES = (
    rf"(?:{_CHOSEN}|secrets?|(?:secret|access|api|auth|private|signing|encryption|account)[_ .-]?key"
    r"|apikey|(?:access|auth|refresh|bearer|session|api|id)?[_ .-]?token|client[_ .-]?secret|credentials?"
    r"|(?<=_)auth(?==[\"']?(?!x?oauth|scram|cram|digest|ntlm|sha|md5)))"
)
# Where a name begins: with a word, or run together with the word before it (PGPASSWORD, dbPassword, rootpw, botToken).
# Nothing is called NOPASSWD but the absence of a password.
_BEGINS = (
    r"(?:\b|_|(?=pass(?:w|phr|code)|kennw)(?<=[a-z0-9])(?<!no)"
    r"|(?=pass|pw)(?:(?<=db|pg|my)|(?<=app|ftp|key|ssh|svc|vpn)|(?<=imap|ldap|mail|root|smtp|sudo|user|wifi|wlan)"
    r"|(?<=admin|login|mongo|mysql|proxy|redis|store)|(?<=master)|(?<=default))"
    r"|(?=token|secret)(?:(?<=gh)|(?<=app|bot|jwt|npm)|(?<=hmac)|(?<=admin|slack)|(?<=deploy|github|gitlab)|(?<=webhook)))"
)
# `the API key of the billing service`, `private key (hex)`: a few words between the name and the value.
_WORD = r"[ ][^\s:=;,!?()\[\]]{0,23}[^\s:=;,.!?()\[\]]"
_BETWEEN = (
    rf"(?:[ ](?:for|of|to|on|in|from|at|für|von|zum|zur|used|we)(?:(?:{_WORD}){{1,5}}?[ ]?[:=]"
    rf"|(?:{_WORD}){{1,3}}?[ ](?:is|was|ist|lautet)\b)|[ ]\([^()\n]{{1,30}}\)[ ]?(?:[:=]|(?:is|was|ist)\b))"
)
# A value may stand on the next line, if it has that line for itself.
_BELOW = r"(?P<below>\r?\n\s{0,8}(?:```[a-z]{0,10}\r?\n)?(?:>[ ]?)?)?"
_ALONE_IF_BELOW = r"(?(below)(?<!:)(?=[\"'`]{0,2}[ ]{0,4}(?:[\r\n]|$)))"
_ITS_REST = r"(?:word|wd|phrase|code|wort|s|d)?"


class Asked(Enum):
    """What is asked of a value, so that it is a secret."""

    NOTHING = "the place says it all"
    MIXED = "it does not read like a word"
    DRAWN = "it was drawn at random, unless it is called a password"


# To search for these is slow and what they hint at is common, so there is a pattern besides for how it goes on
# behind the hint, in small letters, where there is more to it than a word of prose. The first two are about addresses.
CALLED: tuple[tuple[str, Asked, tuple[str, ...], str, str], ...] = (
    (
        "token in an address",
        Asked.DRAWN,
        ("://",),
        r"[a-z0-9_~.%-]{20,256}(?::[^\s:/@\"'<>]{0,64})?@",
        r"[a-z][a-z0-9+.-]{1,20}://(?P<value>[A-Za-z0-9_~.%-]{20,256})(?::[^\s:/@\"'<>]{0,64})?@",
    ),
    (
        "password in an address",
        Asked.NOTHING,
        ("://",),
        r"[^\s:/@\"'<>]{0,128}:[^\s:/@\"'<>]{3,256}@",
        r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,128}:(?P<value>[^\s:/@\"'<>]{3,256})@",
    ),
    (
        "password in a command",
        Asked.NOTHING,
        ("mysql", "mariadb", "sshpass", "curl", "redis-cli"),
        r"[^\n|;&]{0,220}?[ ]-[pua]",
        # -p with its value right behind it, which -P (a port) has not; and nothing of `--password`, which is below.
        r"\b(?:sshpass[ ]{1,4}(?-i:-p)[ ]{0,4}"
        r"|(?:mysql|mariadb)[a-z-]{0,12}[ ](?:[^\n|;&]{0,200}?[ ])??(?-i:-p)(?!assw|rot|ort\b)"
        r"|redis-cli[ ](?:[^\n|;&]{0,200}?[ ])??(?-i:-a)[ ]{1,4}(?!(?:and|or|the|to|is|for|with|means|flag|option)\b)"
        r"|curl[ ](?:[^\n|;&]{0,200}?[ ])??(?-i:-u)[ ]{0,4}[\"']?[^\s:\"']{1,64}:)"
        r"[\"']?(?P<value>[^\s\"'|;&<>]{3,128})",
    ),
    (
        "authorization",
        Asked.MIXED,
        ("bearer", "basic", "token"),
        r"[ ]{1,4}[a-z0-9+/=._~-]{20}",
        r"\b(?:bearer|basic|token)[ ]{1,4}(?P<value>[A-Za-z0-9+/=._~-]{20,4096})",
    ),
    (
        "secret",
        Asked.MIXED,
        ("pass", "pw", "kennwort", "secret", "key", "token", "credential", "_auth"),
        rf"{_ITS_REST}[\"'`*_)\]]{{0,3}}[ ]{{0,4}}(?::|=|\bis\b|\bwas\b|\bist\b)",
        rf"{_BEGINS}(?P<name>{_NAMES})[\"'`*_)\]]{{0,3}}[ ]{{0,4}}(?::=|=>|:|=|\b(?:is|was|ist)\b)\*{{0,2}}"
        rf"[ ]{{0,4}}{_BELOW}[\"'`]{{0,2}}(?P<value>[^\s\"'`,;<>(){{}}\[\]]{{6,512}}+){_ALONE_IF_BELOW}",
    ),
    (
        "secret",
        Asked.DRAWN,
        ("pass", "kennwort", "secret", "key", "token", "credential"),
        rf"{_ITS_REST}[ ](?:for|of|to|on|in|from|at|für|von|zu[mr]|used|we|\([^()\n]{{1,30}}\))[ :=]",
        rf"{_BEGINS}(?P<name>{_NAMES}){_BETWEEN}\*{{0,2}}[ ]{{0,4}}[\"'`]{{0,2}}"
        r"(?P<value>[^\s\"'`,;<>(){}\[\]]{6,512})",
    ),
    (
        "secret",  # between two tags
        Asked.MIXED,
        ("</",),
        r"[a-z0-9_.:-]{0,64}(?:pass|pw|kennwort|secret|key|token|credential)",
        rf"{_BEGINS}(?P<name>{_NAMES})(?:[ ][^<>\n]{{0,100}})?>\s{{0,8}}(?:<!\[CDATA\[)?"
        r"(?P<value>[^\s<>\[\]]{6,512}+)(?=(?:\]\]>)?\s{0,8}</)",
    ),
    (
        "secret",
        Asked.MIXED,
        ("--pass", "--token", "--secret", "--api-key"),
        r"(?:word|wd)?[ ]{1,4}\S{6}",
        r"--(?P<name>password|passwd|pass|token|secret|api-key)[ ]{1,4}[\"']?(?P<value>[^\s\"'`,;<>(){}\[\]]{6,512})",
    ),
    (
        "secret",  # as in ~/.netrc
        Asked.MIXED,
        ("login", "user"),
        r"(?:name)?[ ]{1,4}\S{1,64}\s{1,8}pass",
        r"\b(?:login|user(?:name)?)[ ]{1,4}(?!anonymous\b)\S{1,64}\s{1,8}(?P<name>pass(?:word|wd)?)[ ]{1,4}"
        r"[\"']?(?P<value>[^\s\"'`,;<>(){}\[\]]{6,128})",
    ),
    (
        "cookie",
        Asked.DRAWN,
        ("cookie",),
        r"s?[\"']?[ ]?[:=]|s?[ ]{1,2}[\"']?[a-z0-9_.-]{1,64}=",
        r"(?<![a-z0-9_.-])[a-z0-9_.-]{0,40}(?:sess|sid|auth|token|jwt)[a-z0-9_.-]{0,40}="
        r"(?P<value>[A-Za-z0-9%+/=_.~-]{16,4096})",
    ),
    (
        "signature",
        Asked.DRAWN,
        ("sig=",),
        r"[a-z0-9%+/=_-]{20}",
        r"(?<![a-z0-9_-])sig=(?P<value>[A-Za-z0-9%+/=_-]{20,512})",
    ),
)
