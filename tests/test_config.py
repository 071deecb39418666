"""Settings are read once, checked together, and never shown whole."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError

import pytest
from sqlalchemy.engine import make_url

from config import SANDBOX_CREDENTIALS, SANDBOX_TOKENS, Config, ConfigError, unknown_settings, unusable_proxies
from config_checks import RANGES
from config_names import RENAMED
from services.redaction import Redaction
from tests.support import (
    ACCOUNT_ID,
    APP_SECRET,
    INSTAGRAM_APP_SECRET,
    MODASH_KEY,
    TOKEN,
    VERIFY_TOKEN,
    leaks_in,
    settings,
)

LIVE = {"ACCESS_LONG_LIVED_TOKEN": TOKEN, "INSTAGRAM_ACCOUNT_ID": ACCOUNT_ID}


@pytest.fixture
def read(tmp_path):
    """Read settings from an environment and the lines of a .env file."""

    def read(environ=None, *lines):
        file = tmp_path / ".env"
        file.write_text("\n".join(lines))
        return Config.from_env({"ENV_FILE": str(file)} | (environ or {}))

    return read


# Quotes

QUOTED = ('"{}"', "'{}'", ' "{}" ', '"{} "')


@pytest.mark.parametrize("form", QUOTED)
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ACCESS_LONG_LIVED_TOKEN", f"IGAA{TOKEN}", f"IGAA{TOKEN}"),
        ("PORT", "8123", 8123),
        ("MODASH_RATE", "0.5", 0.5),
        ("CORS_ORIGINS", "https://a.example,https://b.example", ("https://a.example", "https://b.example")),
        ("HOST", "::1", "::1"),
    ],
)
def test_quotes_around_a_value_of_the_environment_are_taken_off_as_in_the_file(read, form, name, text, value):
    others = {} if name == "ACCESS_LONG_LIVED_TOKEN" else {"PROVIDERS": "sandbox"}

    for config in (read({name: form.format(text)} | others), read(others, f"{name}={form.format(text)}")):
        assert getattr(config, name.lower()) == value
    assert read({"ACCESS_LONG_LIVED_TOKEN": f'"IGAA{TOKEN}"'}).graph_login == "instagram"


@pytest.mark.parametrize(
    "form", ['"{}', "{}'", "\u201c{}\u201d", "\u201e{}\u201c", "\u2018{}\u2019", "\u00ab{}\u00bb", "`{}`", "\"'{}'\""]
)
@pytest.mark.parametrize(
    "name", ["ACCESS_LONG_LIVED_TOKEN", "PORT", "DATABASE_URL", "CORS_ORIGINS", "LOG_LEVEL", "ENV_FILE"]
)
def test_any_other_quotation_mark_at_an_end_of_a_value_is_refused(read, form, name):
    with pytest.raises(ConfigError) as caught:
        read({name: form.format(TOKEN)})

    assert f"{name} begins or ends with a quotation mark; write it without." in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [f'ACCESS_LONG_LIVED_TOKEN="{TOKEN}', f"ACCESS_LONG_LIVED_TOKEN='{TOKEN}", f"ACCESS_LONG_LIVED_TOKEN {TOKEN}"],
)
def test_a_line_of_the_file_that_sets_nothing_is_refused_and_not_shown(read, line):
    with pytest.raises(ConfigError) as caught:
        read({}, "# Settings", line, "PORT=8123")

    assert "Line 2 of .env is not NAME=value" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_quotes_within_a_value_stay(read):
    assert read(LIVE | {"WEBHOOK_VERIFY_TOKEN": "it's\"so"}).webhook_verify_token == "it's\"so"


# Where it listens


@pytest.mark.parametrize(
    ("host", "bind", "url"),
    [
        ("", "127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("::1", "[::1]:8000", "http://[::1]:8000"),
        ("[::1]", "[::1]:8000", "http://[::1]:8000"),
        ("::", "[::]:8000", "http://[::1]:8000"),
        ("0.0.0.0", "0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("gateway.internal", "gateway.internal:8000", "http://gateway.internal:8000"),
    ],
)
def test_an_address_of_ipv6_has_brackets_where_a_port_follows(read, host, bind, url):
    config = read({"HOST": host})

    assert (config.bind, config.url) == (bind, url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "[::1]:8000", "http://127.0.0.1", "300.1.1.1", "127.0.0", "a b", "*", "::g"]
)
def test_a_host_that_is_no_address_and_no_name_is_refused(read, host):
    with pytest.raises(
        ConfigError, match=r"HOST is .*; accepted: an address or a name of this machine, without a port"
    ):
        read({"HOST": host})


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("0", "1 to 65535"),
        ("65536", "1 to 65535"),
        ("-1", "1 to 65535"),
        ("http", "a whole number from 1 to 65535"),
        ("99999999999", "a whole number from 1 to 65535"),
    ],
)
def test_a_port_out_of_range_is_refused(read, port, words):
    with pytest.raises(ConfigError, match=f"PORT is .*; accepted: {words}"):
        read({"PORT": port})


@pytest.mark.parametrize("name", RANGES)
def test_a_number_out_of_its_range_is_answered_with_the_range(read, name):
    low, high = RANGES[name]
    for text in (low - 1, high + 1, "many"):
        with pytest.raises(ConfigError, match=f"{name.upper()} is .*; accepted: .*{low} to {high}"):
            read({name.upper(): str(text)})
    for number in (low, high):
        assert getattr(read(LIVE | {name.upper(): str(number)}), name) == number


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


def test_without_a_file_the_environment_is_enough():
    config = Config.from_env(LIVE)

    assert config.access_long_lived_token == TOKEN


def test_a_file_that_is_named_but_absent_stops_the_start(tmp_path):
    with pytest.raises(ConfigError, match=r"ENV_FILE names .*absent, which is not a file"):
        Config.from_env(LIVE | {"ENV_FILE": str(tmp_path / "absent")})


def test_the_file_is_the_one_that_the_environment_of_the_process_names(tmp_path, monkeypatch):
    (tmp_path / "other").write_text("PORT=9003")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "other"))

    assert Config.from_env().port == 9003


def test_an_empty_env_file_means_that_no_file_is_read(monkeypatch):
    monkeypatch.setenv("ENV_FILE", "")

    assert Config.from_env().port == 8000


def test_a_test_that_would_read_the_developers_file_fails(monkeypatch):
    monkeypatch.delenv("ENV_FILE")

    with pytest.raises(AssertionError, match="a test tried to read"):
        Config.from_env()


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
        (
            "CORS_ORIGINS",
            "https://Dashboard.Example,HTTPS://other.example:443/,http://a.example:080,https://b.example:00444",
            ("https://dashboard.example", "https://other.example", "http://a.example", "https://b.example:444"),
        ),
        ("CORS_ORIGINS", "https://a.example,https://A.example:443", ("https://a.example",)),
        ("CORS_ORIGINS", "http://a.example:443,https://a.example:80", ("http://a.example:443", "https://a.example:80")),
        ("CORS_ORIGINS", "https://b\u00fccher.example", ("https://xn--bcher-kva.example",)),
        ("CORS_ORIGINS", "https://stra\u00dfe.example", ("https://xn--strae-oqa.example",)),
        ("CORS_ORIGINS", "http://[0:0::1]:3000,http://127.1:80", ("http://[::1]:3000", "http://127.0.0.1")),
        ("ALLOWED_HOSTS", "Gateway.Example, ::1 [2001:DB8::1]", ("gateway.example", "[::1]", "[2001:db8::1]")),
        ("ALLOWED_HOSTS", "b\u00fccher.example,a.example.,*", ("xn--bcher-kva.example", "a.example", "*")),
        ("END_TIME_CONVENTION", "day_start", "day_start"),
        ("GRAPH_API_VERSION", "v26.0", "v26.0"),
        ("HISTORY_KEEP_DAYS", "730", 730),
        ("MEDIA_KEEP_DAYS", "91", 91),
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
        ("GRAPH_API_VERSION", "v\u0662\u0665.\u0660"),
        ("GRAPH_BASE_URL", "graph.facebook.com"),
        ("GRAPH_BASE_URL", "https://graph.facebook.com/"),
        ("MODASH_BASE_URL", "ftp://api.modash.io"),
        ("MODASH_BASE_URL", "https://api.modash.io?key=1"),
        ("MODASH_BASE_URL", "https://[::1"),
        ("MODASH_BASE_URL", "https://:443"),
        ("GRAPH_BASE_URL", "https://graph.facebook.com:port"),
        ("INSTAGRAM_ACCOUNT_ID", "my.account"),
        ("PAGE_ID", "../555"),
        ("INSTAGRAM_ACCOUNT_ID", "\u0661\u0662\u0663\u0664"),
        ("PAGE_ID", "\uff15\uff15\uff15"),
        ("END_TIME_CONVENTION", "noon"),
        ("LOG_LEVEL", "loud"),
        ("CORS_ORIGINS", "app.example"),
        ("CORS_ORIGINS", "https://app.example/path"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "\u0668\u0660\u0660\u0660"),
        ("PORT", "-1"),
        ("READ_TIMEOUT", "0"),
        ("READ_TIMEOUT", "soon"),
        ("READ_TIMEOUT", "nan"),
        ("READ_TIMEOUT", "\u0662\u0665"),
        ("READ_TIMEOUT", "inf"),
        ("HISTORY_KEEP_DAYS", "729"),
        ("MEDIA_KEEP_DAYS", "90"),
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


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("CORS_ORIGINS", "app.example", "it has no scheme; write https://app.example"),
        ("CORS_ORIGINS", "App.example:8443/x", "write https://app.example:8443"),
        ("CORS_ORIGINS", "https://App.example:443/path", "ends with its host and port; write https://app.example."),
        ("CORS_ORIGINS", "https://app.example?x=1", "write https://app.example."),
        ("CORS_ORIGINS", "https://app.example#x", "write https://app.example."),
        ("CORS_ORIGINS", "https://*.third.example", "a * within a host matches none"),
        ("CORS_ORIGINS", "https://*", "a * within a host matches none"),
        ("CORS_ORIGINS", "null", "null is what browsers send"),
        ("CORS_ORIGINS", "Null", "null is what browsers send"),
        ("CORS_ORIGINS", "ftp://a.example", "neither http nor https"),
        ("CORS_ORIGINS", "https://:443", "its host is none"),
        ("CORS_ORIGINS", "https://a.example:port", "cannot be read"),
        ("CORS_ORIGINS", "https://a.example:0", "its port is not from 1 to 65535"),
        ("CORS_ORIGINS", "https://a.example:65536", "its port is not from 1 to 65535"),
        ("CORS_ORIGINS", "https://::1", "an IPv6 address is in brackets"),
        ("CORS_ORIGINS", "https://[::1", "cannot be read"),
        ("CORS_ORIGINS", "https://[::g]", "its IPv6 address is none"),
        ("CORS_ORIGINS", "https://[fe80::1%25lo]", "its IPv6 address has a zone"),
        ("CORS_ORIGINS", "https://256.1.1.1", "no IPv4 address"),
        ("CORS_ORIGINS", "https://a.example;https://b.example", "its host is none"),
        ("CORS_ORIGINS", "https://a..example", "its host is none"),
        ("CORS_ORIGINS", "https://\u2603\ufffd.example", "a character that no host has"),
        ("ALLOWED_HOSTS", "https://Gateway.example/", "it is a URL, not a host; write gateway.example"),
        ("ALLOWED_HOSTS", "gateway.example/api", "write gateway.example"),
        ("ALLOWED_HOSTS", "gateway.example:8443", "a host has any port; write gateway.example"),
        ("ALLOWED_HOSTS", "[::1]:8000", "write [::1]"),
        ("ALLOWED_HOSTS", "*.example", "a * within a host matches none"),
        ("ALLOWED_HOSTS", ".example", "its host is none"),
        ("ALLOWED_HOSTS", "gateway_example!", "its host is none"),
        ("ALLOWED_HOSTS", f"{'a.' * 124}gateway", "its host is none"),
    ],
)
def test_an_origin_or_host_that_no_browser_sends_stops_the_start_with_the_right_spelling(read, name, text, hint):
    with pytest.raises(ConfigError) as failure:
        read(LIVE | {name: text})

    [fault] = failure.value.faults
    assert fault.startswith(f"{name} has ")
    assert hint in fault


@pytest.mark.parametrize(
    "address",
    [
        *(
            "postgresql://user:pass-w0rd@hunter2@db/name",
            "postgresql://us@er:pass-w0rd@db/name",
        ),
        *("postgresql://user:pass-w0rd@db:54x/name", "postgresql://user:pass-w0rd@a:1,b:2/name", "mysql://db/name"),
    ],
)
def test_an_address_of_a_database_that_the_driver_would_misread_stops_the_start(read, address):
    with pytest.raises(ConfigError, match="DATABASE_URL has the wrong form; accepted: postgresql://") as failure:
        read(LIVE | {"DATABASE_URL": address})

    assert not {"pass-w0rd", "hunter2"} & set(re.split("[:/@ ]", str(failure.value)))


@pytest.mark.parametrize(
    "rest",
    [
        *("user:p%40ss:w#rd@db:5432/name", "user@db/name", "db/name", "/name?host=/run/postgresql", "@db/name"),
        *("user:@[::1]:5432/name?sslmode=require", "user@[fe80::1%25eth0]/name"),
    ],
)
def test_every_address_of_a_database_that_the_driver_reads_is_accepted(read, rest):
    for scheme in ("postgres", "postgresql"):
        assert read(LIVE | {"DATABASE_URL": f"{scheme}://{rest}"}).database_url == f"{scheme}://{rest}"
    make_url(f"postgresql+psycopg://{rest}")


def test_a_password_in_an_origin_is_not_repeated(read):
    with pytest.raises(ConfigError, match=r"username or a password; write https://a\.example") as failure:
        read(LIVE | {"CORS_ORIGINS": "https://me:hunter2@a.example"})

    assert "hunter2" not in str(failure.value)


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


# Names


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_in_the_environment_stops_the_start_and_names_the_new_one(read, old, new):
    with pytest.raises(ConfigError, match=f"{old} is now called {new}; rename it in the environment"):
        read(LIVE | {old: "24"})


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_in_the_file_stops_the_start_and_names_the_new_one(read, old, new):
    with pytest.raises(ConfigError, match=f"{old} is now called {new}; rename it in .env"):
        read(LIVE, f"{old}=24")


def test_misnamed_settings_are_reported_with_all_other_faults(read):
    lines = ["WAITING_PLACES=24", "MODASH_CREDIT_LIMT=5", "LOG_LEVEL=loud", "PORT=x"]

    with pytest.raises(ConfigError) as failure:
        read({"MODASH_RAET": "1", "ACCESS_LONG_LIVED_TOKEN": TOKEN}, *lines)

    text = str(failure.value)
    expected = ["MAX_WAITING_REQUESTS", "MODASH_CREDIT_LIMIT", "MODASH_RATE", "LOG_LEVEL", "PORT", "PAGE_ID"]
    assert [name for name in expected if name not in text] == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MODASH_CREDIT_LIMT", "MODASH_CREDIT_LIMIT"),
        ("MODASH_KEY", "MODASH_API_KEY"),
        ("ACCESS_LONGLIVED_TOKEN", "ACCESS_LONG_LIVED_TOKEN"),
        ("CONNECTION_TIMEOUT", "CONNECT_TIMEOUT"),
        ("PROVIDER", "PROVIDERS"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("modash_rate", "MODASH_RATE"),
    ],
)
def test_a_mistyped_setting_in_the_file_stops_the_start_and_the_nearest_one_is_named(read, name, nearest):
    with pytest.raises(ConfigError, match=rf"{name} in .env is not a setting; the nearest one is {nearest}\."):
        read(LIVE, f"{name}=secret-value")


def test_a_mistyped_setting_is_named_without_its_value(read):
    with pytest.raises(ConfigError) as failure:
        read({}, f"MODASH_API_KY={MODASH_KEY}")

    assert leaks_in(str(failure.value)) == []


@pytest.mark.parametrize("name", ["NGINX_PORT", "POSTGRES_PASSWORD", "COMPOSE_PROJECT_NAME", "DB_HOST", "APP_ENV"])
def test_a_setting_of_another_program_in_the_file_is_only_a_warning(tmp_path, name):
    file = tmp_path / ".env"
    file.write_text(f"{name}=1\nMODASH_RATE=2")
    environ = LIVE | {"ENV_FILE": str(file)}

    assert Config.from_env(environ).modash_rate == 2
    [sentence] = unknown_settings(environ)
    assert sentence.startswith(f"{name} in the settings file is not a setting of the gateway")


def test_a_warning_names_a_setting_that_is_somewhat_alike(tmp_path):
    (tmp_path / ".env").write_text("ACCESS_TOKEN=x")

    assert unknown_settings({"ENV_FILE": str(tmp_path / ".env")}) == [
        "ACCESS_TOKEN in the settings file is not a setting of the gateway; "
        "the nearest one is ACCESS_LONG_LIVED_TOKEN. It has no effect."
    ]


def test_a_line_that_is_the_rest_of_a_broken_token_is_not_shown(tmp_path):
    (tmp_path / ".env").write_text(f"ACCESS_LONG_LIVED_TOKEN=\n{TOKEN}\n{APP_SECRET}=\n")

    sentences = unknown_settings({"ENV_FILE": str(tmp_path / ".env")})

    assert len(sentences) == 2
    assert leaks_in("\n".join(sentences)) == []


@pytest.mark.parametrize(
    "name",
    ["MODASH_PORT", "MODASH_SERVICE_HOST", "GRAPH_API_URL", "DATABASE_URI", "PORTS", "HOSTNAME", "LOG_LEVELS"],
)
def test_the_variables_of_other_programs_in_the_environment_are_left_alone(read, name):
    assert read(LIVE | {name: "x"}).modash_rate == 2


def test_a_mistyped_setting_in_the_environment_stops_the_start(read):
    with pytest.raises(ConfigError, match=r"MODASH_CREDIT_LIMT in the environment is not a setting"):
        read(LIVE | {"MODASH_CREDIT_LIMT": "5"})


# Secrets


def test_no_secret_stands_in_a_repr():
    assert leaks_in(repr(settings())) == []


@pytest.mark.parametrize("name", ["app_secret", "access_long_lived_token", "modash_api_key"])
def test_a_fault_of_a_secret_does_not_show_it(name):
    with pytest.raises(ConfigError) as failure:
        settings(**{name: f"{TOKEN} {APP_SECRET} {MODASH_KEY}"})

    assert leaks_in(str(failure.value)) == []


def test_all_secrets_are_known_to_be_such():
    of_providers = {TOKEN, APP_SECRET, INSTAGRAM_APP_SECRET, VERIFY_TOKEN, MODASH_KEY}
    keys, signs = [f"{letter * 43}=" for letter in "ab"], [f"whsec_{letter * 32}" for letter in "ab"]
    more = {"notify_url": "https://receiver.example/path", "database_url": "postgresql://user:the-password@host/name"}
    config = settings(token_key=",".join(keys), notify_secret=",".join(signs), **more)

    assert set(settings().secrets) == of_providers
    assert set(config.secrets) == {*of_providers, *keys, *signs, more["notify_url"], "the-password"}


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("postgresql://u:p%40ss-w%2frd@db/name", ["p@ss-w/rd", "p%40ss-w%2frd"]),
        ("postgres://u@db/name?sslmode=require&password=p%40ss-w%2frd", ["p@ss-w/rd", "p%40ss-w%2frd"]),
        ("postgresql://u:p#ss-w?rd@db/name?sslmode=require", ["p#ss-w?rd"]),
        ("postgresql://u:p[ss-word@db/name", ["p[ss-word"]),
    ],
)
def test_the_password_of_the_database_is_secret_however_its_address_has_it(address, written):
    config = Config.from_env({"DATABASE_URL": address})
    redact = Redaction(config.secrets)

    assert make_url(config.database_url).translate_connect_args(username="user").get("password") in {None, written[0]}
    for text in written:
        assert redact(f"the database said {text}") == "the database said [redacted]"


@pytest.mark.parametrize("end", ["/", "////"])
def test_a_secret_that_ends_in_slashes_is_taken_as_it_is(end):
    secrets = tuple(f"whsec_{letter * (40 - len(end))}{end}" for letter in "ab")

    config = Config.from_env({"NOTIFY_URL": "https://a.example", "NOTIFY_SECRET": ",".join(secrets)})

    assert config.notify_secrets == secrets
    assert set(secrets) < set(config.secrets)


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


@pytest.mark.parametrize(
    ("name", "given", "right"),
    [
        ("MODASH_BASE_URL", "https://api.modash.io/v1", "https://api.modash.io"),
        ("MODASH_BASE_URL", "https://api.modash.io/v1/", "https://api.modash.io"),
        ("MODASH_BASE_URL", "https://api.modash.io//V1//", "https://api.modash.io"),
        ("MODASH_BASE_URL", "https://api.modash.io/v1/instagram/performance-data", "https://api.modash.io"),
        ("MODASH_BASE_URL", "http://127.0.0.1:8001/api.modash.io/v1", "http://127.0.0.1:8001/api.modash.io"),
        ("GRAPH_BASE_URL", "https://graph.facebook.com/v24.0", "https://graph.facebook.com"),
        ("GRAPH_BASE_URL", "https://graph.facebook.com/v25.0/", "https://graph.facebook.com"),
        ("GRAPH_BASE_URL", "https://graph.facebook.com/v25", "https://graph.facebook.com"),
        ("GRAPH_BASE_URL", "https://user:secret@graph.example/v25.0", "the address before it"),
    ],
)
@pytest.mark.parametrize("mode", ["live", "sandbox"])
def test_a_base_url_with_a_version_is_refused_with_the_right_spelling(read, name, given, right, mode):
    environ = LIVE if mode == "live" else {"PROVIDERS": "sandbox"}

    with pytest.raises(ConfigError) as refusal:
        read(environ | {name: given})

    [fault] = refusal.value.faults
    assert fault.startswith(f"{name} has a version in it")
    assert fault.endswith(f"write {right}.")
    assert "secret" not in fault


@pytest.mark.parametrize("given", ["https://v1.example", "https://api.example/v1beta", "https://api.example/dev1"])
def test_a_base_url_without_a_version_is_accepted(read, given):
    assert read(LIVE | {"MODASH_BASE_URL": given}).modash_base_url == given


# Proxies


@pytest.mark.parametrize(
    ("proxies", "start"),
    [
        ({"ALL_PROXY": "socks5://127.0.0.1:1080"}, "ALL_PROXY names a SOCKS proxy"),
        ({"https_proxy": "socks5h://u:secret@127.0.0.1:1080"}, "https_proxy names a SOCKS proxy"),
        ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://:3128"}, "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://proxy.example:port"}, "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "foo://u:secret@proxy.example"}, "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://[::1"}, "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://good.example:1", "https_proxy": "http://"}, "https_proxy is not the address"),
    ],
)
def test_a_proxy_that_never_works_is_reported_at_the_start(proxies, start):
    [sentence] = unusable_proxies(Config.from_env(LIVE), proxies)

    assert sentence.startswith(start)
    assert "secret" not in sentence


@pytest.mark.parametrize(
    "proxies",
    [
        {},
        {"HTTPS_PROXY": "http://user:secret@proxy.example:3128"},
        {"HTTPS_PROXY": "proxy.example:3128"},
        {"HTTPS_PROXY": "http://proxy.example", "ALL_PROXY": "socks5://127.0.0.1:1"},
        {"HTTP_PROXY": "socks5://127.0.0.1:1"},
        {"ALL_PROXY": "socks5://127.0.0.1:1", "NO_PROXY": "*"},
        {"ALL_PROXY": "socks5://127.0.0.1:1", "no_proxy": "facebook.com,instagram.com,api.modash.io"},
    ],
)
def test_a_proxy_that_may_work_or_is_not_used_is_not_reported(proxies):
    assert unusable_proxies(Config.from_env(LIVE), proxies) == []


def test_a_sandbox_needs_no_proxy():
    assert unusable_proxies(Config.from_env({"PROVIDERS": "sandbox"}), {"ALL_PROXY": "socks5://127.0.0.1:1"}) == []


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


def test_the_sandbox_reads_no_account_with_the_token_of_env():
    sandbox = Config.from_env({"PROVIDERS": "sandbox"})

    assert not sandbox.has_token_of({sandbox.instagram_account_id})
