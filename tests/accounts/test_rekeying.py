"""A new encryption key while gateways run: no token is lost or set back, and the old key goes when nothing needs it."""

from __future__ import annotations

import io

import pytest

from commands import account as command
from config import Config
from services.accounts.rekeying import KeyCount, Rekeying
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.account_health import CheckRow
from services.store.account_tokens import TokenRow
from services.store.accounts import AccountRow
from services.store.store import Store
from tests.support import GRAPH, settings

OLD, NEW = new_key(), new_key()
MANY = 5


def encryption(*keys):
    return TokenEncryption(keys, learn=lambda _: None)


def token_of(number):
    return f"EAAtokenOFaccount{number}"


def account(number, token=None, key=OLD):
    sealed = encryption(key).seal(token or token_of(number))
    return AccountRow(str(number), f"a{number}", "facebook", "", sealed, float(number))


def token_row(number, key=OLD):
    sealed, pending = (encryption(key).seal(f"{token_of(number)}{kind}") for kind in ("refreshed", "pending"))
    return TokenRow(str(number), f"f{number}", f"g{number}", 1.0, 1.0, sealed=sealed, pending=pending)


@pytest.fixture
def full(store):
    """A store whose tokens are encrypted with the old key: of five accounts, one of them refreshed."""
    for number in range(MANY):
        store.accounts.put(account(number))
    store.account_tokens.put(token_row(0))
    return store


def rekeying(store, *keys):
    return Rekeying(store.accounts, store.account_tokens, encryption(*keys))


def nothing(_done, _total):
    pass


def test_every_token_is_encrypted_again_refreshed_ones_and_those_on_trial_too(full):
    full.account_health.checked(CheckRow("1", 1.0, "permission_denied", "No.", "Do."))
    assert rekeying(full, NEW, OLD).count() == KeyCount(MANY + 2, MANY + 2, 0)
    shown = []

    after = rekeying(full, NEW, OLD).run(lambda done, total: shown.append((done, total)))

    assert after == KeyCount(MANY + 2, 0, 0)
    assert shown == [(number, MANY + 2) for number in range(1, MANY + 3)]
    new = encryption(NEW)
    assert [new.open(row.token) for row in full.accounts.rows()] == [token_of(number) for number in range(MANY)]
    [row] = full.account_tokens.all()
    assert (new.open(row.sealed), new.open(row.pending)) == (f"{token_of(0)}refreshed", f"{token_of(0)}pending")
    assert full.account_health.rows()["1"].failed_as == "permission_denied"
    assert rekeying(full, NEW, OLD).run(pytest.fail) == after


def test_tokens_that_are_replaced_meanwhile_are_never_set_back(full):
    later = {3: "EAAnewTOKENofANaccount3", 4: "EAAnewTOKENofANaccount4"}

    def replace(done, total):
        if (done, total) == (1, MANY + 2):  # in the first pass, after its tokens were read
            full.accounts.put(account(3, later[3], OLD))  # by a process that still begins with the old key
            full.accounts.put(account(4, later[4], NEW))
            full.account_tokens.put(token_row(0)._replace(pending=None))

    after = rekeying(full, NEW, OLD).run(replace)

    assert after == KeyCount(MANY + 1, 0, 0)
    opened = {row.id: encryption(NEW).open(row.token) for row in full.accounts.rows()}
    assert opened == {str(number): later.get(number, token_of(number)) for number in range(MANY)}
    [row] = full.account_tokens.all()
    assert row.pending is None


def test_one_that_was_stopped_goes_on_and_a_lost_key_is_counted(full):
    full.accounts.put(account(9, key=new_key()))

    def stop(done, _total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rekeying(full, NEW, OLD).run(stop)

    assert rekeying(full, NEW, OLD).count() == KeyCount(MANY + 3, MANY + 2 - 3, 1)
    assert rekeying(full, NEW, OLD).run(nothing) == KeyCount(MANY + 3, 0, 1)


def test_the_command_says_when_the_old_key_may_go(store_settings, monkeypatch, capsys):
    def make_account(*arguments, keys, token=""):
        given = {"PROVIDERS": "live", "TOKEN_KEY": keys} | store_settings
        with monkeypatch.context() as patched:
            config = Config.from_env(given)
            patched.setattr(Config, "from_env", lambda: config)
            patched.setattr("sys.stdin", io.StringIO(f"{token}\n"))
            ended = command.main(arguments)
        return ended, capsys.readouterr().out

    for number in range(2):
        make_account("add", "--id", str(number), "--username", f"a{number}", keys=OLD, token=token_of(number))

    checked = make_account("rekey", "--check", keys=f"{NEW},{OLD}")
    assert (checked[0], checked[1].splitlines()[0]) == (
        1,
        "2 of 2 tokens (refreshed ones included) are encrypted with an old key. Keep it in TOKEN_KEY.",
    )
    ended, said = make_account("rekey", keys=f"{NEW},{OLD}")
    assert ended == 0
    assert "2 tokens (refreshed ones included) are encrypted with the first key of TOKEN_KEY." in said
    assert make_account("rekey", "--check", keys=NEW)[0] == 0
    lost = make_account("rekey", "--check", keys=new_key())
    assert (lost[0], lost[1].splitlines()[0]) == (
        1,
        "2 of 2 tokens (refreshed ones included) were encrypted with a key that is not in TOKEN_KEY.",
    )


def test_a_running_gateway_serves_on_and_keeps_its_cache(make_client, clock, wire):
    config = settings(token_key=f"{NEW},{OLD}")
    client = make_client(config, clock=clock)
    store = client.application.extensions["services"].store
    store.accounts.put(account(7))
    clock.wait(2)
    wire.get(f"{GRAPH}/v25.0/7/media", json={"data": []})
    path = "/top-posts?time_range=7d&account=a7"
    assert client.get(path).headers["X-Provider-Calls"] == "1"

    other = Store.open("", config.instance_path, mode="live")
    rekeying(other, NEW, OLD).run(nothing)
    other.close()
    clock.wait(2)

    assert client.get(path).headers["Cache-Status"].startswith("insights-gateway; hit")
    client.application.extensions["services"].accounts.find("7")
    assert client.get(path).headers["X-Provider-Calls"] == "0"
    assert client.application.extensions["services"].accounts.find("7").token == token_of(7)
