"""Watch progress: where somebody was, on every device, whatever players and networks do."""

from csn_rt.features.progress.handlers import Progress

__all__ = ["Progress"]
