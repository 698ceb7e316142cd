"""Logs while a screen is shown: to the screen, instead of over it.

Knows nothing of what is logged or how it is shown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog


class _Handler(logging.Handler):
    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(record.getMessage())


@contextmanager
def logs_to(show: Callable[[str], None]) -> Iterator[None]:
    """Have `show` called with every line logged, from warnings on, and nothing printed, until the block is left."""
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    before, root.handlers = root.handlers, [_Handler(show)]
    try:
        yield
    finally:
        root.handlers = before
        structlog.reset_defaults()
