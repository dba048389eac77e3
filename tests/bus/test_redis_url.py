import pytest

from csn_rt.bus.redis_url import check_url, read_cluster_url, server_of


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache",
        "redis://user:password@cache:6380/2",
        "rediss://:p@cache/0?ssl_cert_reqs=none",
        "redis-cluster://cache",
        "redis-cluster://cache/0",
        "rediss-cluster://user:p%40@one:7000,two,[::1]:7002/?ssl_cert_reqs=none",
    ],
)
def test_what_can_be_an_address_is_taken(url):
    check_url(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("cache", "begins with redis://"),
        ("http://hunter2@cache", "begins with redis://"),
        ("redis://:hunter2/x@cache:6379", "is no address of a server"),
        ("redis://:hunter2@cache:http", "is no address of a server"),
        ("redis://:hunter2@cache/0?hunter2=1", "is no address of a server"),
        ("rediss://:hunter2@cache/0?ssl_cert_reqs=hunter2", "is no address of a server"),
        ("redis-cluster://:hunter2@one:7000/?hunter2=1", "is no address of a server"),
        ("redis-cluster://:hunter2@one:7000/1", "no other database than 0"),
        ("redis-cluster://:hunter2@one:7000,", "not given as host:port"),
        ("redis-cluster://:hunter2@one:hunter2", "not given as host:port"),
        ("redis-cluster://:hunter2@one:70000", "not given as host:port"),
        ("redis-cluster://", "not given as host:port"),
        ("redis-cluster://:hunter2/x@one", "no other database than 0"),
    ],
)
def test_what_can_be_none_is_refused_with_a_reason_and_without_the_password(url, reason):
    with pytest.raises(ValueError, match=reason) as refused:
        check_url(url)

    assert "hunter2" not in str(refused.value)


def test_every_seed_is_read():
    url = read_cluster_url("redis-cluster://one:7000,two,[::1]:7002,[::2]")

    assert ("one:7000", "two:6379", "[::1]:7002", "[::2]:6379") == url.seeds


def test_a_server_of_the_cluster_has_its_user_its_options_and_its_tls():
    url = read_cluster_url("rediss-cluster://ann:p%2F@one,two/0?ssl_cert_reqs=none")

    assert "rediss://ann:p%2F@three:7000/0?ssl_cert_reqs=none" == url.server("three:7000")


@pytest.mark.parametrize(
    ("url", "server"),
    [("redis://ann:p@x@cache:6379/0", "cache:6379"), ("rediss://[::1]:7000", "[::1]:7000")],
)
def test_what_is_shown_of_a_url_has_no_user_and_no_password(url, server):
    assert server == server_of(url)
