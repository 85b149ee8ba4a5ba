"""Who may speak to us at all, and what is read from what they show."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.protocol.origin import bearer, is_loopback, password, refusal, speaker


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:4000", "127.0.0.1:1", "[::1]:4000", "[::1]", " localhost "]
)
def test_our_names_are_ours_at_any_port(host: str) -> None:
    assert refusal(host, None) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "localhost.",
        "localhost.evil.example",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost/evil",
        "localhost:4000:1",
        "localhost:port",
        "127.0.0.1.nip.io",
        "127.1",
        "0.0.0.0",
        "[::1",
        "::1",
        "localhost, evil.example",
        "lоcalhost",
    ],
)
def test_other_names_are_misdirected(host: str | None) -> None:
    refused = refusal(host, None)
    assert refused is not None
    assert refused[0] == 421


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "file://",
        "http://localhost.evil.example",
        "chrome-extension://localhost",
        "//localhost",
        "http://[::1",
    ],
)
def test_foreign_pages_are_refused(origin: str) -> None:
    refused = refusal("localhost", origin)
    assert refused is not None
    assert refused[0] == 403


def test_what_a_browser_says_of_its_site_is_heard() -> None:
    assert refusal("localhost", None, site="Cross-Site") is not None
    for site in ("same-origin", "same-site", "none"):
        assert refusal("localhost", None, site=site) is None


def test_names_of_ones_own_can_be_added() -> None:
    assert refusal("memory.lan:443", "https://memory.lan", {"memory.lan"}) is None


@given(st.text(), st.text() | st.none())
def test_no_text_gets_in_or_breaks_it_but_our_names(host: str, origin: str | None) -> None:
    """Whatever is let in names one of our hosts, letter by letter."""
    if refusal(host, origin) is None:
        assert host.strip().lower().partition(":")[0] in {"localhost", "127.0.0.1", "["}


def test_a_key_is_read_from_where_it_belongs() -> None:
    assert bearer("Bearer mimo_x") == bearer("bearer  mimo_x ") == "mimo_x"
    for wrong in (None, "", "Bearer", "Bearer ", "Basic abc", "mimo_x", "Bearermimo_x"):
        assert bearer(wrong) is None


def test_a_key_may_be_a_password() -> None:
    assert password("Basic " + base64.b64encode(b"me:mimo_x:y").decode()) == "mimo_x:y"
    for wrong in (
        None,
        "",
        "Basic",
        "Basic %%%",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic bWU=",
    ):
        assert password(wrong) is None


@given(st.text())
def test_no_header_breaks_the_reading_of_keys(text: str) -> None:
    """Text or None, never an error."""
    for read in (bearer, password):
        for said in (text, f"Bearer {text}", f"Basic {text}"):
            assert read(said) is None or read(said)


def test_loopback_is_what_other_machines_cannot_reach() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "127.0.0.1.evil", "192.168.1.1", ""]))


@pytest.mark.parametrize(
    ("forwarded", "who"),
    [
        (None, "peer"),
        ("", "peer"),
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("198.51.100.1,", "peer"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("unknown", "peer"),
        ("203.0.113.7; DROP TABLE", "peer"),
    ],
)
def test_a_proxy_is_believed_in_its_own_word_only(forwarded: str | None, who: str) -> None:
    assert speaker("peer", forwarded) == who


@given(st.text())
def test_whatever_is_forwarded_is_an_address_or_the_peer(forwarded: str) -> None:
    """An address in one form, or the peer; never an error."""
    said = speaker("peer", forwarded)
    assert said == "peer" or speaker("", said) == said
