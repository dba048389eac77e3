"""Who is on the other side: tokens in, identities out.

Rule 1: the algorithm is ours to say (HS256), never the token's; signature before claims; `exp` and `sub` are
        required.
Rule 2: anonymous ids are signed with a key of their own and for an audience of their own, so that neither
        kind of token passes for the other; they never carry a role.
Rule 3: an id that begins with `anon_` is anonymous: nobody can sign in as one.
Rule 4: what was wrong with a token goes into the log, never to the other side.
Rule 5: a verified token is remembered by its hash until it expires, for a crowd that comes back all at once.
"""

import hashlib
import hmac
import re
import secrets
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import jwt
import msgspec

from csn_rt.core.identity import Identity
from csn_rt.features.context import Caller
from csn_rt.wire.auth import AnonymousIssued, Whoami
from csn_rt.wire.roles import Role
from csn_rt.wire.types import Nothing

ALGORITHM: Final = "HS256"
LEEWAY_S: Final = 5
"""Clocks of well-kept machines differ by less."""
ANONYMOUS_PREFIX: Final = "anon_"
ANONYMOUS_AUDIENCE: Final = "csn:anonymous"
ANONYMOUS_TTL_S: Final = 30 * 24 * 3600
MAX_TOKEN_BYTES: Final = 8_192
MAX_EXPIRES_AT: Final = 253_402_300_799
"""The last second of the year 9999."""
MAX_CACHED: Final = 50_000
"""About 25 MB; a node holds fewer sockets than that."""


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class TokenExpired(Exception):
    """Good but for its time: the client may fetch another."""


class TokenInvalid(Exception):
    """Not to be trusted; `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Metadata(msgspec.Struct, frozen=True):
    role: Role = Role.USER


class _Claims(msgspec.Struct, frozen=True):
    """What is read of a token's claims; all else is ignored."""

    sub: str
    exp: int
    name: str | None = None
    avatar_url: str | None = None
    metadata: _Metadata = _Metadata()

    def __post_init__(self) -> None:
        if not 1 <= len(self.sub) <= 200 or not self.sub.isprintable():
            raise ValueError("sub must have 1 to 200 printable characters")
        if not (self.name is None or _is_text(self.name, 200)):
            raise ValueError("name must be a text of at most 200 characters")
        if not (self.avatar_url is None or _is_text(self.avatar_url, 2000)):
            raise ValueError("avatar_url must be a text of at most 2000 characters")
        if self.exp > MAX_EXPIRES_AT:
            raise ValueError("exp is beyond the calendar")


def _is_text(value: str, most: int) -> bool:
    """Whether it can be stored and sent: no NUL, no half surrogate."""
    return len(value) <= most and _UNSTORABLE.search(value) is None


def _anonymous_key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"csn_rt anonymous id", "sha256")


class Verifier:
    """Verifies dev tokens and anonymous ids, both signed with `CSN_SECRET`."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._anonymous_key = _anonymous_key(secret)
        self._clock = clock
        self._cached: OrderedDict[bytes, Identity] = OrderedDict()

    def verify(self, token: str) -> Identity:
        """Raises TokenExpired or TokenInvalid."""
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenInvalid("too long")
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        identity = self._cached.get(key)
        if identity is None:
            identity = self._verify(token)
            self._cached[key] = identity
            if len(self._cached) > MAX_CACHED:
                self._cached.popitem(last=False)
        if identity.expires_at is not None and identity.expires_at + LEEWAY_S <= self._clock():
            raise TokenExpired
        return identity

    def issue_anonymous(self) -> tuple[Identity, str]:
        """A new anonymous viewer and the token by which he is known again."""
        expires_at = int(self._clock()) + ANONYMOUS_TTL_S
        user_id = ANONYMOUS_PREFIX + secrets.token_urlsafe(16)
        claims = {"sub": user_id, "exp": expires_at, "aud": ANONYMOUS_AUDIENCE}
        token = jwt.encode(claims, self._anonymous_key, algorithm=ALGORITHM)
        return Identity(user_id=user_id, role=Role.ANONYMOUS, expires_at=expires_at), token

    def _verify(self, token: str) -> Identity:
        # Unverified: it only chooses the key, and with the wrong one the signature fails.
        is_anonymous = _audience(token) == ANONYMOUS_AUDIENCE
        try:
            claims = msgspec.convert(self._decode(token, is_anonymous=is_anonymous), _Claims, strict=True)
        except jwt.ExpiredSignatureError as exc:
            raise TokenExpired from exc
        except (jwt.InvalidTokenError, msgspec.ValidationError, UnicodeError) as exc:
            raise TokenInvalid(str(exc)) from exc
        if claims.sub.startswith(ANONYMOUS_PREFIX) != is_anonymous:
            raise TokenInvalid("an id of the other kind")
        if is_anonymous:
            return Identity(user_id=claims.sub, role=Role.ANONYMOUS, expires_at=claims.exp)
        if claims.metadata.role is Role.ANONYMOUS:
            raise TokenInvalid("a token cannot be anonymous")
        return Identity(
            user_id=claims.sub,
            role=claims.metadata.role,
            name=claims.name,
            avatar_url=claims.avatar_url,
            expires_at=claims.exp,
        )

    def _decode(self, token: str, *, is_anonymous: bool) -> dict[str, Any]:
        return jwt.decode(
            token,
            self._anonymous_key if is_anonymous else self._secret,
            algorithms=[ALGORITHM],
            audience=ANONYMOUS_AUDIENCE if is_anonymous else None,
            leeway=LEEWAY_S,
            options={"require": ["exp", "sub"]},
        )


class _Audience(msgspec.Struct):
    aud: Any = None


def _audience(token: str) -> Any:
    """Whom the token says that it is for; None where it cannot be read."""
    payload = token.partition(".")[2].partition(".")[0]
    try:
        return msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Audience).aud
    except (ValueError, RecursionError):
        return None


def issue_dev_token(
    secret: str, user_id: str, *, role: Role = Role.USER, name: str | None = None, ttl_s: int = 3600
) -> str:
    """A token for local use; see `csn-rt token`."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": user_id,
        "iat": now,
        "exp": now + ttl_s,
        "metadata": {"role": role.value},
    }
    if name is not None:
        claims["name"] = name
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


class Auth:
    """The operations about identities."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def anonymous(self, caller: Caller | None, params: Nothing) -> AnonymousIssued:  # noqa: ARG002
        """A signed id for somebody who has not signed in, by which he is counted once and known again."""
        identity, token = self._verifier.issue_anonymous()
        expires_at = datetime.fromtimestamp(identity.expires_at or 0, UTC)
        return AnonymousIssued(token=token, user_id=identity.user_id, expires_at=expires_at)

    async def whoami(self, caller: Caller, params: Nothing) -> Whoami:  # noqa: ARG002
        """Who the server takes the caller for."""
        identity = caller.identity
        expires_at = None if identity.expires_at is None else datetime.fromtimestamp(identity.expires_at, UTC)
        return Whoami(
            user_id=identity.user_id,
            role=identity.role,
            name=identity.name,
            avatar_url=identity.avatar_url,
            expires_at=expires_at,
        )
