"""Where Redis is: one server, or the servers of a cluster, of which at least one is named.

    redis://user:password@host:port/0                     rediss:// with TLS
    redis-cluster://user:password@host:port,host:port     rediss-cluster:// with TLS

Rule: no message of an error has a part of the URL in it, because the password is one.
"""

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec
from redis.exceptions import RedisError

from csn_rt.bus.redis_connection import new_connection

_SCHEMES: Final = ("redis", "rediss", "redis-cluster", "rediss-cluster")
_PORT: Final = 6379
_CLUSTER: Final = re.compile(
    r"(?P<scheme>rediss?)-cluster://(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]*)/?(?P<database>[^?#]*)(?P<query>.*)"
)


class ClusterUrl(msgspec.Struct, frozen=True):
    seeds: tuple[str, ...]
    """Addresses, as host:port, of servers that know the others."""
    scheme: str
    user: str
    query: str

    def server(self, address: str) -> str:
        """The URL of one server of the cluster."""
        return f"{self.scheme}://{self.user}{address}/0{self.query}"


def check_url(url: str) -> None:
    """Raise ValueError with the reason unless it is the address of a server or of a cluster."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError("begins with redis://, rediss://, redis-cluster:// or rediss-cluster://")
    if is_cluster(url):
        read_cluster_url(url)
    else:
        _check_server_url(url)


def is_cluster(url: str) -> bool:
    return url.startswith(("redis-cluster://", "rediss-cluster://"))


def read_cluster_url(url: str) -> ClusterUrl:
    """Raises ValueError with the reason."""
    match = _CLUSTER.fullmatch(url)
    if match is None:
        raise ValueError("is no address of a cluster, as redis-cluster://user:password@host,host is")
    if match["database"] not in ("", "0"):
        raise ValueError("a cluster has no other database than 0")
    seeds = tuple(_seed(host) for host in match["hosts"].split(","))
    read = ClusterUrl(seeds, match["scheme"], match["user"] or "", match["query"])
    _check_server_url(read.server(seeds[0]))
    return read


def server_of(url: str) -> str:
    """What may be shown of the URL of one server."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _seed(text: str) -> str:
    try:
        parts = urlsplit(f"//{text.strip()}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError("a server of the cluster is not given as host:port")
    return address(host, port or _PORT)


def _check_server_url(url: str) -> None:
    try:
        new_connection(url)
    except (TypeError, ValueError, RedisError):  # TypeError: an option that a connection does not have
        raise ValueError("is no address of a server, as redis://user:password@host:port/0 is") from None
