"""Roles, weakest first: who may do what is said as the least of them."""

from enum import StrEnum


class Role(StrEnum):
    ANONYMOUS = "anonymous"
    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return _RANKS[self]

    def is_at_least(self, least: "Role") -> bool:
        return self.rank >= least.rank


_RANKS = {role: rank for rank, role in enumerate(Role)}
