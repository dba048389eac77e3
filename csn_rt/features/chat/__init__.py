"""Chat of live streams: said once, in one order, and taken back without a trace in any replay."""

from csn_rt.features.chat.handlers import Chat

__all__ = ["Chat"]
