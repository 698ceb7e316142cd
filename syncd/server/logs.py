"""Logs: how the server's log looks, on standard error.

Knows nothing of what is logged, but for the names of fields that must never be: contents and tokens.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

#: Fields that would hold a token or somebody's words. Whoever logs them by mistake gets a mark in their place.
FORBIDDEN_FIELDS = frozenset(
    {"token", "authorization", "secret", "key", "keys", "password", "text", "body", "content", "payload", "update"}
)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the values of forbidden fields."""
    for name in FORBIDDEN_FIELDS & event.keys():
        event[name] = "[not logged]"
    return event


def configure(log_format: Literal["console", "json"] = "console", level: str = "info") -> None:
    """Set up structlog, and the standard library's loggers with it. Call once, before the server is started."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    last: Processor
    if log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        last = structlog.processors.JSONRenderer()
    else:
        # Frames' local variables would show tokens and contents.
        plain = structlog.dev.plain_traceback
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
