"""Which decoded frames cannot be trusted. Frames refer to each other, so damage lasts until the next key frame."""

from __future__ import annotations

from bisect import bisect_right, insort

MOST_LINES = 3
"""Of ffmpeg's complaints, kept for the user."""


class Damage:
    """Hears what goes wrong with a stream's packets, numbered in the order of decoding, and judges the frames.

    Attributes:
        complaints: the first of them, in ffmpeg's words.
        gaps: complaints about data between packets.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.gaps = 0
        self._places: list[float] = []  # n: packet n is damaged; n - 0.5: something is missing in front of it
        self._trusted_from = -1.0  # the last key frame that came out whole

    def __bool__(self) -> bool:
        return bool(self._places)

    def in_packet(self, packet: int, complaint: str) -> None:
        """A packet is damaged, or its decoder complained."""
        self._add(packet, complaint)

    def ahead_of(self, packet: int, complaint: str) -> None:
        """Data that came before a packet is lost; the packet in front of it, which broke off, is damaged."""
        self.gaps += 1
        self._add(packet - 1, complaint)
        self._add(packet - 0.5, complaint)

    def spoils(self, packet: int, *, key_frame: bool) -> bool:
        """Whether a frame is, or may refer to, a damaged one; ask for each frame in the order in which they are shown.

        A frame refers to packets that were decoded before its own, and to none before the last key frame that is
        shown before it. The frames in front of a key frame (open GOP) may still refer to what came before.
        """
        if key_frame and not self._between(packet - 1, packet, also_in_front=False):
            self._trusted_from = max(self._trusted_from, packet)
        return self._between(self._trusted_from, packet)

    def _between(self, after: float, upto: float, *, also_in_front: bool = True) -> bool:
        """Whether anything is wrong in (after, upto]."""
        begin = bisect_right(self._places, after if also_in_front else upto - 0.5)
        return bisect_right(self._places, upto) > begin

    def _add(self, place: float, complaint: str) -> None:
        if place not in self._places[-1:]:
            insort(self._places, place)
        if len(self.complaints) < MOST_LINES and complaint not in self.complaints:
            self.complaints.append(complaint)
