"""Identities: what is issued to the anonymous, and who one is."""

from datetime import datetime

from csn_rt.wire.roles import Role
from csn_rt.wire.types import Result


class AnonymousIssued(Result, frozen=True, kw_only=True):
    token: str
    """Connect with it, or send it as bearer."""
    user_id: str
    expires_at: datetime


class Whoami(Result, frozen=True, kw_only=True, omit_defaults=True):
    user_id: str
    role: Role
    name: str | None = None
    avatar_url: str | None = None
    expires_at: datetime | None = None
    """When the token expires; absent where there is none."""
