"""The environment. Rule numbers are those of csn_rt/settings.py."""

import pytest

from csn_rt.settings import (
    SETTINGS,
    Settings,
    SettingsRefused,
    check_servers,
    check_serving,
    read_settings,
)

SECRET = "a-secret-of-at-least-32-bytes-in-length"
SERVERS = {"DATABASE_URL": "postgresql://u:hunter2@db/csn", "REDIS_URL": "redis://:hunter2@cache/0"}
DEV = {**SERVERS, "CSN_AUTH": "dev", "CSN_SECRET": SECRET}


def refusal(environ):
    with pytest.raises(SettingsRefused) as refused:
        read_settings(environ)
    return str(refused.value).splitlines()


def test_an_empty_environment_is_the_defaults():
    assert Settings() == read_settings({})


def test_an_empty_variable_is_one_that_is_not_set():
    assert Settings() == read_settings({"CSN_DRAIN_S": "", "CSN_AUTH": "", "CSN_NO_SUCH": ""})


def test_values_have_the_types_of_their_settings():
    settings = read_settings(
        {"PORT": "9000", "CSN_DRAIN_S": "2.5", "CSN_DEV_ALLOW_REMOTE": "1", "CSN_LOG_FORMAT": "console"}
    )
    expected = Settings(port=9000, drain_s=2.5, dev_allow_remote=True, log_format="console")
    assert expected == settings


def test_a_list_is_separated_by_commas_and_spaces_do_not_matter():
    settings = read_settings({"CSN_ALLOWED_ORIGINS": "https://a.example, http://localhost:3000,"})
    assert ("https://a.example", "http://localhost:3000") == settings.allowed_origins


def test_names_of_others_are_none_of_our_business():
    assert Settings() == read_settings({"HOME": "/root", "POSTHOG_DEBUG": "1", "CSNX": "1"})


@pytest.mark.parametrize("name", [row.name for row in SETTINGS])
def test_every_name_of_the_list_is_known(name):
    good = {
        "CSN_SECRET": SECRET,
        **SERVERS,
        "PORT": "80",
        "CSN_AUTH": "dev",
        "CSN_DEV_ALLOW_REMOTE": "1",
        "CSN_DRAIN_S": "1",
        "CSN_COMPRESSION": "0",
        "CSN_LOG_LEVEL": "debug",
        "CSN_LOG_FORMAT": "console",
    }
    assert read_settings({name: good.get(name, "https://x.example")}) != Settings()


def test_an_unknown_name_is_refused_with_the_nearest_one():
    assert ["CSN_DRAN_S is no setting; did you mean CSN_DRAIN_S?"] == refusal({"CSN_DRAN_S": "1"}), "rule 1"


def test_an_unknown_name_that_resembles_nothing_says_where_the_list_is():
    assert ["CSN_XYZZY is no setting; `csn-rt check` prints the list."] == refusal({"CSN_XYZZY": "1"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "PORT: is a whole number from 1 to 65535."),
        ("PORT", "0", "PORT: is a whole number from 1 to 65535."),
        ("PORT", "65536", "PORT: is a whole number from 1 to 65535."),
        ("CSN_DRAIN_S", "-1", "CSN_DRAIN_S: is a number of s from 0 to 600."),
        ("CSN_DRAIN_S", "nan", "CSN_DRAIN_S: is a number of s from 0 to 600."),
        ("CSN_AUTH", "none", "CSN_AUTH: is one of clerk, dev."),
        ("CSN_DEV_ALLOW_REMOTE", "yes", "CSN_DEV_ALLOW_REMOTE: is 0 or 1."),
        ("CSN_SECRET", "x" * 31, "CSN_SECRET: is shorter than 32 bytes."),
        ("DATABASE_URL", "mysql://db", "DATABASE_URL: begins with postgresql:// or postgres://."),
        (
            "REDIS_URL",
            "http://cache",
            "REDIS_URL: begins with redis://, rediss://, redis-cluster:// or rediss-cluster://.",
        ),
        (
            "REDIS_URL",
            "redis-cluster://cache/1",
            "REDIS_URL: a cluster has no other database than 0.",
        ),
        (
            "CSN_ALLOWED_ORIGINS",
            "https://a.example,a.example/x",
            "CSN_ALLOWED_ORIGINS: a.example/x is no origin, such as https://www.example.com.",
        ),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_by_name(name, value, expected):
    assert [expected] == refusal({name: value}), "rule 2"


def test_all_problems_are_told_at_once():
    assert 3 == len(refusal({"CSN_NO_SUCH_THING": "1", "PORT": "x", "CSN_SECRET": "short"})), "rule 2"


def test_no_secret_is_shown():
    secrets = {row.name: f"hunter2-{'x' * 32}" for row in SETTINGS if row.is_secret}
    settings = read_settings({**secrets, **SERVERS})
    shown = repr(settings) + str(settings) + repr(list(settings.__rich_repr__()))
    shown += "".join(row.shown(settings) for row in SETTINGS)
    assert "hunter2" not in shown, "rule 3"


def test_a_refusal_shows_no_secret():
    assert "hunter2" not in str(refusal({"CSN_SECRET": "hunter2", "DATABASE_URL": "x://u:hunter2@db"})), (
        "rule 3"
    )


def test_every_setting_says_what_it_means():
    assert [] == [row.name for row in SETTINGS if not row.meaning], "rule 4"


@pytest.mark.parametrize("missing", SERVERS)
def test_without_a_server_s_address_the_way_out_is_named(missing):
    settings = read_settings({name: value for name, value in SERVERS.items() if name != missing})
    with pytest.raises(SettingsRefused, match=r"DATABASE_URL and REDIS_URL, .* --embedded"):
        check_servers(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_dev_tokens_are_fine_on_this_machine(host):
    check_serving(read_settings(DEV), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_dev_tokens_are_refused_where_others_can_reach(host):
    with pytest.raises(SettingsRefused, match="CSN_DEV_ALLOW_REMOTE=1"):
        check_serving(read_settings(DEV), host)


def test_dev_tokens_elsewhere_are_possible_on_demand():
    check_serving(read_settings({**DEV, "CSN_DEV_ALLOW_REMOTE": "1"}), "0.0.0.0")


def test_serving_with_clerk_is_refused_honestly():
    with pytest.raises(SettingsRefused, match=r"cannot verify Clerk's tokens yet; set CSN_AUTH=dev"):
        check_serving(read_settings({**SERVERS, "CSN_SECRET": SECRET}), "127.0.0.1")


def test_serving_without_a_secret_is_refused():
    with pytest.raises(SettingsRefused, match="CSN_SECRET"):
        check_serving(read_settings({**SERVERS, "CSN_AUTH": "dev"}), "127.0.0.1")


def test_embedded_servers_bring_addresses_and_a_secret():
    check_serving(read_settings({"CSN_AUTH": "dev"}), "127.0.0.1", is_embedded=True)


def test_embedded_servers_do_not_open_dev_tokens_to_others():
    with pytest.raises(SettingsRefused, match="CSN_DEV_ALLOW_REMOTE=1"):
        check_serving(read_settings({"CSN_AUTH": "dev"}), "0.0.0.0", is_embedded=True)
