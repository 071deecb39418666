"""Settings are read once, checked together, and never shown whole."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from config import SANDBOX_CREDENTIALS, SANDBOX_TOKENS, Config, ConfigError
from tests.support import ACCOUNT_ID, APP_SECRET, MODASH_KEY, TOKEN, leaks_in, settings

LIVE = {"ACCESS_LONG_LIVED_TOKEN": TOKEN, "INSTAGRAM_ACCOUNT_ID": ACCOUNT_ID}


@pytest.fixture
def read(tmp_path):
    """Read settings from an environment and the lines of a .env file."""

    def read(environ=None, *lines):
        file = tmp_path / ".env"
        file.write_text("\n".join(lines))
        return Config.from_env(environ or {}, file)

    return read


# Where settings come from


@pytest.mark.parametrize(
    "line",
    [
        f"ACCESS_LONG_LIVED_TOKEN={TOKEN}",
        f"ACCESS_LONG_LIVED_TOKEN = {TOKEN}",
        f'ACCESS_LONG_LIVED_TOKEN = "{TOKEN}"',
        f"  ACCESS_LONG_LIVED_TOKEN='{TOKEN}'   # made in May",
        f"export ACCESS_LONG_LIVED_TOKEN={TOKEN}",
        f"ACCESS_LONG_LIVED_TOKEN={TOKEN}   ",
    ],
)
def test_a_line_of_the_file_may_be_spaced_as_in_the_documents(read, line):
    config = read({}, line, f"INSTAGRAM_ACCOUNT_ID = {ACCOUNT_ID}")

    assert (config.access_long_lived_token, config.instagram_account_id) == (TOKEN, ACCOUNT_ID)


def test_the_environment_wins_over_the_file(read):
    config = read(LIVE | {"PORT": "9001"}, "PORT = 9002", "LOG_LEVEL = DEBUG")

    assert (config.port, config.log_level) == (9001, "DEBUG")


def test_neither_the_environment_nor_the_file_is_changed(read, tmp_path, monkeypatch):
    monkeypatch.delenv("READ_TIMEOUT", raising=False)
    environ = dict(LIVE)

    read(environ, "READ_TIMEOUT = 3")

    assert environ == LIVE
    assert (tmp_path / ".env").read_text() == "READ_TIMEOUT = 3"


def test_an_empty_setting_is_the_default(read):
    config = read(LIVE | {"PORT": "", "GRAPH_API_VERSION": "  "}, "READ_TIMEOUT =", "CORS_ORIGINS")

    assert (config.port, config.graph_api_version, config.read_timeout, config.cors_origins) == (8000, "v25.0", 15, ())


def test_without_a_file_the_environment_is_enough(tmp_path):
    config = Config.from_env(LIVE, tmp_path / "absent")

    assert config.access_long_lived_token == TOKEN


def test_a_dollar_sign_in_the_file_is_kept(read):
    assert read({}, "MODASH_API_KEY = a${HOME}b").modash_api_key == "a${HOME}b"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SANDBOX_DESPITE_CREDENTIALS", "Yes", True),
        ("SANDBOX_DESPITE_CREDENTIALS", "off", False),
        ("READ_TIMEOUT", "2.5", 2.5),
        ("PROVIDER_PARALLEL", "8", 8),
        ("CORS_ORIGINS", "https://a.example, http://b.example:3000/", ("https://a.example", "http://b.example:3000")),
        ("CORS_ORIGINS", "*", ("*",)),
        ("END_TIME_MARKS", "day_start", "day_start"),
        ("GRAPH_API_VERSION", "v26.0", "v26.0"),
    ],
)
def test_values_are_read_by_their_type(read, name, text, value):
    assert getattr(read(LIVE | {name: text}), name.lower()) == value


# Faults


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PROVIDERS", "production"),
        ("GRAPH_API_VERSION", "25"),
        ("GRAPH_API_VERSION", "v25"),
        ("GRAPH_BASE_URL", "graph.facebook.com"),
        ("GRAPH_BASE_URL", "https://graph.facebook.com/"),
        ("MODASH_BASE_URL", "ftp://api.modash.io"),
        ("INSTAGRAM_ACCOUNT_ID", "my.account"),
        ("PAGE_ID", "../555"),
        ("END_TIME_MARKS", "noon"),
        ("LOG_LEVEL", "loud"),
        ("CORS_ORIGINS", "app.example"),
        ("CORS_ORIGINS", "https://app.example/path"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "-1"),
        ("READ_TIMEOUT", "0"),
        ("READ_TIMEOUT", "soon"),
        ("READ_TIMEOUT", "nan"),
        ("READ_TIMEOUT", "inf"),
        ("RETRY_BUDGET", "-1"),
        ("PROVIDER_PARALLEL", "0"),
        ("PROVIDER_PARALLEL", "1.5"),
        ("SANDBOX_DESPITE_CREDENTIALS", "maybe"),
        ("ACCESS_LONG_LIVED_TOKEN", "EAA cut here"),
        ("MODASH_API_KEY", "\u201ckey\u201d"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(read, name, text):
    with pytest.raises(ConfigError, match=name):
        read(LIVE | {name: text})


def test_all_values_that_cannot_be_read_are_named_at_once(read):
    with pytest.raises(ConfigError) as failure:
        read(LIVE | {"PORT": "x", "READ_TIMEOUT": "y", "SANDBOX_DESPITE_CREDENTIALS": "z"})

    assert all(name in str(failure.value) for name in ("PORT", "READ_TIMEOUT", "SANDBOX_DESPITE_CREDENTIALS"))


def test_all_faults_are_named_at_once(read):
    wrong = {"PORT": "0", "LOG_LEVEL": "loud", "GRAPH_API_VERSION": "25", "MODASH_API_KEY": "a b"}

    with pytest.raises(ConfigError) as failure:
        read({"ACCESS_LONG_LIVED_TOKEN": TOKEN} | wrong)

    text = str(failure.value)
    assert [name for name in (*wrong, "INSTAGRAM_ACCOUNT_ID", "PAGE_ID") if name not in text] == []


def test_values_that_cannot_be_read_do_not_hide_other_faults(read):
    with pytest.raises(ConfigError) as failure:
        read({"ACCESS_LONG_LIVED_TOKEN": TOKEN, "PORT": "x", "LOG_LEVEL": "loud"})

    text = str(failure.value)
    assert [name for name in ("PORT", "LOG_LEVEL", "INSTAGRAM_ACCOUNT_ID") if name not in text] == []


# Secrets


def test_no_secret_stands_in_a_repr():
    assert leaks_in(repr(settings())) == []


@pytest.mark.parametrize("name", ["app_secret", "access_long_lived_token", "modash_api_key"])
def test_a_fault_of_a_secret_does_not_show_it(name):
    with pytest.raises(ConfigError) as failure:
        settings(**{name: f"{TOKEN} {APP_SECRET} {MODASH_KEY}"})

    assert leaks_in(str(failure.value)) == []


def test_all_secrets_are_known_to_be_such():
    assert set(settings().secrets) == {TOKEN, APP_SECRET, MODASH_KEY}


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        settings().port = 1


# Sandbox or live


def test_without_a_credential_the_simulator_stands_in(read):
    config = read({"SIMULATOR_PORT": "8123"})

    assert config.sandbox
    assert config.graph_base_url == "http://127.0.0.1:8123/graph.facebook.com"
    assert config.modash_base_url == "http://127.0.0.1:8123/api.modash.io"
    assert {name: getattr(config, name) for name in SANDBOX_CREDENTIALS} == dict(SANDBOX_CREDENTIALS)


@pytest.mark.parametrize(
    ("environ", "instagram", "modash"),
    [
        (LIVE, True, False),
        ({"MODASH_API_KEY": MODASH_KEY}, False, True),
        (LIVE | {"MODASH_API_KEY": MODASH_KEY}, True, True),
        ({"ACCESS_LONG_LIVED_TOKEN": TOKEN, "PAGE_ID": "555"}, True, False),
    ],
)
def test_a_credential_makes_it_live_and_one_provider_is_enough(read, environ, instagram, modash):
    config = read(environ)

    assert not config.sandbox
    assert (config.instagram_configured, config.modash_configured) == (instagram, modash)


def test_live_without_any_credential_does_not_start(read):
    with pytest.raises(ConfigError, match="ACCESS_LONG_LIVED_TOKEN or MODASH_API_KEY"):
        read({"PROVIDERS": "live"})


@pytest.mark.parametrize(
    ("given", "facebook", "instagram"),
    [
        ("", "https://graph.facebook.com", "https://graph.instagram.com"),
        ("http://a:1/graph.facebook.com", "http://a:1/graph.facebook.com", "http://a:1/graph.instagram.com"),
        ("https://proxy.example", "https://proxy.example", "https://graph.instagram.com"),
    ],
)
def test_the_other_login_s_address_stands_beside_the_configured_one(read, given, facebook, instagram):
    assert read(LIVE | {"GRAPH_BASE_URL": given}).graph_base_urls == {"facebook": facebook, "instagram": instagram}


@pytest.mark.parametrize("name", ["ACCESS_LONG_LIVED_TOKEN", "MODASH_API_KEY"])
def test_a_sandbox_with_a_real_credential_does_not_start(read, name):
    with pytest.raises(ConfigError, match=name):
        read(LIVE | {name: "real", "PROVIDERS": "sandbox"})


def test_a_sandbox_with_a_real_credential_starts_if_that_is_stated_and_leaves_it_unused(read):
    config = read(LIVE | {"PROVIDERS": "sandbox", "SANDBOX_DESPITE_CREDENTIALS": "true"})

    assert config.access_long_lived_token == SANDBOX_TOKENS["facebook"]
    assert config.instagram_account_id == SANDBOX_CREDENTIALS["instagram_account_id"]


def test_a_provider_without_a_credential_says_so(make_client):
    client = make_client(settings(access_long_lived_token=""))

    response = client.get("/top-posts?time_range=7d")

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_not_configured")
    assert "ACCESS_LONG_LIVED_TOKEN" in response.get_json()["hint"]
    assert client.get("/healthz").get_json()["instagram"] == "not_configured"


def test_modash_without_a_key_says_so(make_client):
    response = make_client(settings(modash_api_key="")).get("/performance-data?url=nasa")

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_not_configured")
    assert response.get_json()["provider"] == "modash"
