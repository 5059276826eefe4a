"""Scrubbing: nothing that names a person, a machine or a secret stays in a record."""

from __future__ import annotations

import string
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.launch import scrub as module
from bench.launch.scrub import scrub
from bench.schema.codec import encode
from tests.launch.conftest import asked, launching
from tests.launch.misbehaving import TOKEN

PLANTED = ("planted-user", "planted-host", "planted.corp", "/somewhere/planted", TOKEN, "hf_", "sesame")


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with a host, a user and a home that are easy to find again."""
    monkeypatch.setenv("HOME", "/somewhere/planted-home")
    monkeypatch.setattr("getpass.getuser", lambda: "planted-user")
    monkeypatch.setattr("platform.node", lambda: "planted-host.corp")
    module._names.cache_clear()
    yield
    module._names.cache_clear()


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("worker", ["tells_secrets", "secrets_everywhere"])
def test_a_record_holds_no_secret(worker):
    """Token, host, user and home that a run writes, in words or in a record, are not in what is stored."""
    with launching(worker) as launcher:
        text = encode(launcher.run(asked()))
    assert [word for word in PLANTED if word in text] == []
    assert "<token>" in text
    assert "<user>" in text
    assert "~/" in text


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("on planted-host.corp", "on <host>"),
        ("on planted-host:8080", "on <host>:8080"),
        ("PLANTED-HOST", "<host>"),
        ("/somewhere/planted-home/x", "~/x"),
        ("/home/somebody/x", "~/x"),
        ("'/Users/somebody'", "'~'"),
        ("planted-user's", "<user>'s"),
        ("my-planted-user-model", "my-planted-user-model"),
        ("https://me:pass@host/x", "https://<token>host/x"),
        ("GPU-01234567-89ab-cdef-0123-456789abcdef,1", "<gpu>,1"),
        ("red \x1b[31m\x07", "red  [31m "),
        ("as it was: 3 x /tmp/ftbench, 50 %", "as it was: 3 x /tmp/ftbench, 50 %"),
    ],
)
def test_what_is_replaced_and_what_is_not(said, kept):
    """Each kind of name is replaced by its kind, and an ordinary text stays as it is."""
    assert scrub(said) == kept


def test_the_token_in_use_is_replaced_whatever_it_looks_like(monkeypatch):
    """A token that does not look like the hub's is known from the environment."""
    monkeypatch.setenv("HF_TOKEN", "odd:looking/secret")
    assert scrub("sent odd:looking/secret") == "sent <token>"


@given(st.text(), st.text(string.ascii_letters + string.digits, min_size=20, max_size=40), st.text())
def test_no_token_survives_any_surroundings(before, token, after):
    """Wherever a token stands it is taken out, and no control character stays."""
    found = scrub(f"{before}hf_{token}{after}")
    assert f"hf_{token}" not in found
    assert all(letter.isprintable() for letter in found)


@given(st.text())
def test_scrubbing_twice_changes_nothing(text):
    """What is scrubbed is clean."""
    assert scrub(scrub(text)) == scrub(text)
