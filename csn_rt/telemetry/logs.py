"""Logs: one line per event on stderr, as JSON or for a console, ours and the libraries' alike.

Rule 1: what is secret never gets out. Values under telling names, JWTs, passwords in URLs and query strings
        are taken away from every line, tracebacks included, whoever wrote it.
"""

import logging
import re
import sys
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED: Final = "[redacted]"

_LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio")
_SECRET_KEY = re.compile(r"token|secret|authorization|password|passwd|cookie|api_key", re.IGNORECASE)
# Each begins where nothing of its kind stands before, so that a long text is read in linear time.
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?", re.ASCII)
_BEARER = re.compile(r"\b(Bearer|Basic) +[^\s'\",;]+", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<![\w+.-])([a-z][a-z0-9+.-]*://)[^\s/@'\"]*@", re.IGNORECASE | re.ASCII)
_QUERY = re.compile(r"(?<=[\w/.~%-])\?[\w%\[][^\s'\"]*", re.ASCII)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The last processor before rendering."""
    return {key: REDACTED if _SECRET_KEY.search(key) else _clean(value) for key, value in event.items()}


def configure_logs(*, level: str, style: Literal["json", "console"]) -> None:
    """Send the process's logs to stderr; called once, first thing. `level` is a name, e.g. `info`."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
    # At info it writes two lines for every socket, also when ten thousand come back at once.
    logging.getLogger("uvicorn.error").setLevel(max(number, logging.WARNING))
    # Its pool tells every attempt in vain with a traceback; ours says what it means: `database_away`.
    logging.getLogger("asyncpg.pool").setLevel(max(number, logging.ERROR))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _clean(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _clean_text(value)
        case dict():
            return {
                str(key): REDACTED if _SECRET_KEY.search(str(key)) else _clean(inner)
                for key, inner in value.items()
            }
        case list() | tuple():
            return [_clean(inner) for inner in value]
        case _:
            return _clean_text(repr(value))


def _clean_text(text: str) -> str:
    text = _JWT.sub(REDACTED, text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    text = _USER_INFO.sub(rf"\1{REDACTED}@", text)
    return _QUERY.sub("", text)
