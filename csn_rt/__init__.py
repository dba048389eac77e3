"""csn_rt: the real-time server of a sports-streaming product."""

__version__ = "0.1.0"
