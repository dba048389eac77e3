"""Who is on the other side, as far as a verified token says."""

import msgspec

from csn_rt.wire.roles import Role


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str
    """The token's `sub` (200 characters at most), or the signed id of an anonymous viewer."""
    role: Role
    name: str | None = None
    avatar_url: str | None = None
    expires_at: int | None = None
    """Unix seconds; None for an identity that does not expire."""

    @property
    def is_anonymous(self) -> bool:
        return self.role is Role.ANONYMOUS

    @property
    def person(self) -> str:
        """The key of the person in viewer counts: `u:<user id>` or `a:<anonymous id>`."""
        return f"{'a' if self.is_anonymous else 'u'}:{self.user_id}"
