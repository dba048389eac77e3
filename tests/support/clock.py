"""Time that passes only when a test says so; itself a `Callable[[], float]`."""


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def now(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds
