"""Content: what people watch. So far what everyone may read; editing will stand beside it."""

from csn_rt.features.content.reading import Content

__all__ = ["Content"]
