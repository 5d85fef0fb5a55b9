"""Log lines with text from outside, which cannot look like other lines."""

import logging

from schemas.shown import shown


class LogLines(logging.Formatter):
    """Escapes control characters and indents continuation lines, so that no text looks like another log line."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record)).replace("\n", "\n    ")
