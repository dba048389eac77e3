"""A message that somebody wants to say, before the database has judged it."""

from msgspec import Struct

from csn_rt.core.identity import Identity
from csn_rt.wire.chat import Drop


class Draft(Struct, frozen=True):
    id: str
    stream_id: str
    sender: Identity
    text: str
    client_id: str
    drop: Drop | None = None
    """Set: it may not be said anew, and is answered only if it is a retry of what was accepted."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a retry has in common with the first attempt."""
        return self.stream_id, self.sender.user_id, self.client_id
