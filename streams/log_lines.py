"""Lines of a log that say what others wrote, and are nothing but lines."""

import logging

from schemas.shown import shown


class LogLines(logging.Formatter):
    """Writes control characters out, and indents what goes on over lines: no text looks like a line of the log."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record)).replace("\n", "\n    ")
