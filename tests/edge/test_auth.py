"""Tokens in, identities out."""

import base64
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from csn_rt.core.identity import Identity
from csn_rt.edge import auth
from csn_rt.edge.auth import Auth, TokenExpired, TokenInvalid, Verifier, issue_dev_token
from csn_rt.features.context import Caller
from csn_rt.wire.auth import Whoami
from csn_rt.wire.roles import Role
from csn_rt.wire.types import Nothing
from tests.support.clock import Clock

SECRET = "a secret that is only used by tests"
OTHER_SECRET = "another secret, just as long as that one"
ANONYMOUS_KEY = hmac.digest(SECRET.encode(), b"csn_rt anonymous id", "sha256")


def signed(key: str | bytes = SECRET, /, **claims: Any) -> str:
    """A token for ann with these claims changed; None leaves one out."""
    claims = {"sub": "ann", "exp": int(time.time()) + 60, **claims}
    present = {name: value for name, value in claims.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too short a key is one of the things that are tried
        return jwt.encode(present, key, algorithm="HS256")


def raw(header: bytes, payload: bytes, key: bytes = SECRET.encode()) -> str:
    """A token made by hand, well signed."""

    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    body = part(header) + b"." + part(payload)
    return (body + b"." + part(hmac.digest(key, body, "sha256"))).decode()


def unsigned() -> str:
    return jwt.encode({"sub": "ann", "exp": int(time.time()) + 60}, "", algorithm="none")


def public_key_confusion() -> str:
    """Signed by HMAC with what would be a public key."""
    public = generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return raw(b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"ann","exp":99999999999}', pem)


def anonymous(**claims: Any) -> str:
    return signed(ANONYMOUS_KEY, **{"sub": "anon_x", "aud": auth.ANONYMOUS_AUDIENCE, **claims})


def tampered() -> str:
    header, payload, signature = signed().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["metadata"] = {"role": "admin"}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{forged}.{signature}"


HEADER = b'{"alg":"HS256","typ":"JWT"}'
PAYLOAD = b'{"sub":"ann","exp":99999999999}'

INVALID = {
    "nothing": lambda: "",
    "no token": lambda: "not a token",
    "two parts": lambda: "a.b",
    "not base64": lambda: "?.?.?",
    "not ASCII": lambda: "é.é.é",
    "half a surrogate": lambda: "\ud800.a.b",
    "unsigned": unsigned,
    "signature cut off": lambda: signed().rpartition(".")[0] + ".",
    "another key": lambda: signed(OTHER_SECRET),
    "an empty key": lambda: raw(HEADER, PAYLOAD, b""),
    "another algorithm": lambda: jwt.encode({"sub": "ann", "exp": 9**11}, SECRET * 2, algorithm="HS512"),
    "claims changed after signing": tampered,
    "a public key as secret": public_key_confusion,
    "no sub": lambda: signed(sub=None),
    "an empty sub": lambda: signed(sub=""),
    "a sub that is too long": lambda: signed(sub="x" * 201),
    "a sub that is no text": lambda: raw(HEADER, b'{"sub":7,"exp":99999999999}'),
    "a sub with a line break": lambda: signed(sub="ann\n"),
    "a sub with a NUL": lambda: signed(sub="ann\0"),
    "no exp": lambda: signed(exp=None),
    "exp that is no number": lambda: raw(HEADER, b'{"sub":"ann","exp":"soon"}'),
    "exp that is infinite": lambda: raw(HEADER, b'{"sub":"ann","exp":1e999}'),
    "exp beyond the calendar": lambda: signed(exp=10**15),
    "not before the future": lambda: signed(nbf=int(time.time()) + 60),
    "issued in the future": lambda: signed(iat=int(time.time()) + 60),
    "an audience that is not ours": lambda: signed(aud="another-service"),
    "a role that does not exist": lambda: signed(metadata={"role": "owner"}),
    "a role that is no text": lambda: signed(metadata={"role": ["admin"]}),
    "the role of the anonymous": lambda: signed(metadata={"role": "anonymous"}),
    "metadata that is no object": lambda: signed(metadata="admin"),
    "a name that is too long": lambda: signed(name="x" * 201),
    "a name with a NUL": lambda: signed(name="An\0n"),
    "a name with half a surrogate": lambda: raw(HEADER, PAYLOAD[:-1] + b',"name":"\\ud800"}'),
    "an avatar with a NUL": lambda: signed(avatar_url="https://x.test/\0"),
    "an avatar that is too long": lambda: signed(avatar_url="https://x.test/" + "a" * 2000),
    "a name that is no text": lambda: signed(name=5),
    "a user in the space of the anonymous": lambda: signed(sub="anon_x"),
    "an anonymous id without its audience": lambda: signed(ANONYMOUS_KEY, sub="anon_x"),
    "an anonymous id signed as a user": lambda: signed(sub="anon_x", aud=auth.ANONYMOUS_AUDIENCE),
    "an anonymous audience among others": lambda: anonymous(aud=[auth.ANONYMOUS_AUDIENCE]),
    "a user signed as anonymous": lambda: anonymous(sub="ann"),
    "claims that are no object": lambda: raw(HEADER, b"[]"),
    "claims nested without end": lambda: raw(HEADER, b"[" * 2500 + b"]" * 2500),
    "a header nested without end": lambda: raw(b"[" * 2500 + b"]" * 2500, PAYLOAD),
    "a token that is too long": lambda: signed(junk="x" * 9000),
}


@pytest.mark.parametrize("make_token", INVALID.values(), ids=INVALID)
def test_a_token_is_not_trusted_when_it_has(make_token: Callable[[], str]):
    token = make_token()
    with pytest.raises(TokenInvalid):
        Verifier(SECRET).verify(token)


def test_a_token_made_by_hand_in_the_right_way_is_good():
    """So that the forgeries fail for the reason they are named after."""
    assert "ann" == Verifier(SECRET).verify(raw(HEADER, PAYLOAD)).user_id


def test_a_good_token_says_who_one_is():
    expires_at = int(time.time()) + 60
    token = signed(
        name="Ann", avatar_url="https://x.test/a.png", metadata={"role": "moderator"}, exp=expires_at
    )

    assert Identity(
        user_id="ann",
        role=Role.MODERATOR,
        name="Ann",
        avatar_url="https://x.test/a.png",
        expires_at=expires_at,
    ) == Verifier(SECRET).verify(token)


@pytest.mark.parametrize("metadata", [None, {}, {"team": "gulls"}])
def test_a_token_without_a_role_is_a_users(metadata: dict[str, str] | None):
    assert Role.USER is Verifier(SECRET).verify(signed(metadata=metadata)).role


def test_a_user_id_may_have_200_characters_of_any_script():
    assert "ж" * 200 == Verifier(SECRET).verify(signed(sub="ж" * 200)).user_id


def test_claims_that_we_do_not_know_are_ignored():
    assert "ann" == Verifier(SECRET).verify(signed(sid="s", azp="p", org={"role": "admin"})).user_id


@pytest.mark.parametrize("claims", [{"exp": int(time.time()) - 60}, {"exp": 0}, {"exp": -5}])
def test_an_expired_token_is_told_apart_from_an_invalid_one(claims: dict[str, int]):
    with pytest.raises(TokenExpired):
        Verifier(SECRET).verify(signed(**claims))


def test_an_expired_forgery_is_a_forgery():
    with pytest.raises(TokenInvalid):
        Verifier(SECRET).verify(signed(OTHER_SECRET, exp=1))


def test_clocks_may_differ_by_five_seconds():
    now = int(time.time())

    assert "ann" == Verifier(SECRET).verify(signed(exp=now - 2, nbf=now + 3, iat=now + 3)).user_id


def test_a_remembered_token_expires_all_the_same():
    clock = Clock(time.time())
    verifier = Verifier(SECRET, clock=clock)
    token = signed(exp=int(clock()) + 60)
    verifier.verify(token)

    clock.jump(66)

    with pytest.raises(TokenExpired):
        verifier.verify(token)


def test_a_remembered_token_is_not_verified_again(monkeypatch: pytest.MonkeyPatch):
    verifier, token = Verifier(SECRET), signed()
    first = verifier.verify(token)
    monkeypatch.setattr(jwt, "decode", None)

    assert first is verifier.verify(token)


def test_memory_of_tokens_is_bounded_and_holds_no_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(auth, "MAX_CACHED", 3)
    verifier = Verifier(SECRET)
    tokens = [signed(sub=f"user-{n}") for n in range(10)]
    for token in tokens:
        verifier.verify(token)

    assert [hashlib.sha256(token.encode()).digest() for token in tokens[-3:]] == list(verifier._cached)


def test_a_refused_token_is_not_remembered():
    verifier = Verifier(SECRET)
    for token in (signed(OTHER_SECRET), "junk"):
        with pytest.raises(TokenInvalid):
            verifier.verify(token)

    assert not verifier._cached


def test_an_anonymous_id_is_known_again_by_its_token():
    verifier = Verifier(SECRET)
    identity, token = verifier.issue_anonymous()

    assert identity == Verifier(SECRET).verify(token)
    assert Role.ANONYMOUS is identity.role
    assert identity.user_id.startswith("anon_")
    assert 22 == len(identity.user_id.removeprefix("anon_"))


def test_anonymous_ids_are_all_different_and_last_thirty_days():
    verifier = Verifier(SECRET, clock=lambda: 1_000_000.0)
    issued = [verifier.issue_anonymous()[0] for _ in range(100)]

    assert 100 == len({identity.user_id for identity in issued})
    assert {1_000_000 + 30 * 24 * 3600} == {identity.expires_at for identity in issued}


def test_an_anonymous_id_of_another_secret_is_not_trusted():
    _, token = Verifier(OTHER_SECRET).issue_anonymous()

    with pytest.raises(TokenInvalid):
        Verifier(SECRET).verify(token)


def test_an_anonymous_token_never_carries_a_role_or_a_name():
    identity = Verifier(SECRET).verify(anonymous(metadata={"role": "admin"}, name="Root"))

    assert (Role.ANONYMOUS, None) == (identity.role, identity.name)


def test_an_anonymous_and_a_signed_in_viewer_are_never_one_person():
    anonymous_identity, _ = Verifier(SECRET).issue_anonymous()

    assert anonymous_identity.person.startswith("a:")
    assert "u:ann" == Verifier(SECRET).verify(signed()).person


@pytest.mark.parametrize("role", [Role.USER, Role.MODERATOR, Role.ADMIN])
def test_a_token_made_for_local_use_is_good(role: Role):
    identity = Verifier(SECRET).verify(issue_dev_token(SECRET, "bob", role=role, name="Bob", ttl_s=60))

    assert ("bob", role, "Bob") == (identity.user_id, identity.role, identity.name)
    assert identity.expires_at is not None
    assert 55 <= identity.expires_at - time.time() <= 60


async def test_auth_anonymous_answers_a_token_and_whose_it_is():
    verifier = Verifier(SECRET)

    issued = await Auth(verifier).anonymous(None, Nothing())

    identity = verifier.verify(issued.token)
    assert identity.user_id == issued.user_id
    assert identity.expires_at == issued.expires_at.timestamp()


async def test_auth_whoami_answers_what_the_token_said():
    verifier, expires_at = Verifier(SECRET), int(time.time()) + 60
    identity = verifier.verify(signed(name="Ann", metadata={"role": "admin"}, exp=expires_at))

    who = await Auth(verifier).whoami(Caller(identity=identity), Nothing())

    assert isinstance(who, Whoami)
    assert ("ann", Role.ADMIN, "Ann", None) == (who.user_id, who.role, who.name, who.avatar_url)
    assert who.expires_at is not None
    assert expires_at == who.expires_at.timestamp()
