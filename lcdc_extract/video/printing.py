"""Names of files in messages."""

from __future__ import annotations


def printable(text: object) -> str:
    """Bytes that are no UTF-8 become escapes, so that any terminal can print the text."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
