"""What everyone may read of the content.

Rule 1: published means published, or scheduled and due by the database's clock; an item that is not is
        answered like one that never was.
Rule 2: lists are newest first and their pages are cut by position, not by count, so that what is published
        between two pages neither repeats nor hides an item.
"""

from csn_rt.errors import BadRequest, NotFound
from csn_rt.features.content import store
from csn_rt.features.context import Caller, Context
from csn_rt.wire.content import ContentDetail, ContentGet, ContentList, ContentPage


class Content:
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def get(self, caller: Caller, params: ContentGet) -> ContentDetail:  # noqa: ARG002  the same for everyone
        """One published video, clip or live stream by id or slug, with game, teams and where it plays.

        Raises NotFound: there is none that is published.
        """
        async with self._ctx.db.connection() as connection:
            match params:
                case ContentGet(content_id=str(content_id), slug=None):
                    found = await store.read(connection, content_id)
                case ContentGet(content_id=None, slug=str(slug)):
                    found = await store.read_by_slug(connection, slug)
                case _:
                    raise BadRequest("give either content_id or slug")
        if found is None:
            raise NotFound("no such content")
        return found

    async def is_stream(self, content_id: str) -> bool:
        """Whether it is a live stream that everyone may see."""
        async with self._ctx.db.connection() as connection:
            return await store.is_stream(connection, content_id)

    async def list(self, caller: Caller, params: ContentList) -> ContentPage:  # noqa: ARG002  the same for everyone
        """Published videos, clips and live streams, newest first, by kind, game, team or tag."""
        async with self._ctx.db.connection() as connection:
            return await store.read_page(connection, params)
