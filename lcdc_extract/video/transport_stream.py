"""Packets of MPEG transport streams (ISO/IEC 13818-1, 2.4.3), which count on stream by stream."""

from __future__ import annotations

from pathlib import Path

PACKET_BYTES = (188, 192, 204)
"""A packet, or one with a time in front of it (M2TS), or with a checksum behind it."""

_BYTES = 188
_SYNC = 0x47
_HAS_PAYLOAD, _HAS_MORE_FIELDS = 0x10, 0x20
_SEARCHED_BYTES = 1 << 18


def begins_anew(path: Path, place: int) -> bool:
    """Whether a stream's counter jumps right at the beginning of a frame, and the frame before it ended whole.

    So it is where recordings were joined. Where data was lost, it hardly ever is: the loss would have to end right
    between two frames. The last packet of a frame is padded, which only extra fields in its header can do.

    Args:
        path: the file.
        place: the byte at which ffmpeg finds the frame.
    """
    with path.open("rb") as file:
        start = max(0, place - _SEARCHED_BYTES)
        file.seek(start)
        data = file.read(place - start + max(PACKET_BYTES))
    for length in PACKET_BYTES:
        first = place - start + length - _BYTES  # ffmpeg takes what is extra as being in front
        packets = [data[at : at + _BYTES] for at in range(first, -1, -length)]
        if packets and all(packet[0] == _SYNC for packet in packets):
            return _jumps(packets)
    return False


def _jumps(packets: list[bytes]) -> bool:
    """Whether the counter of the first one does not follow that of the next of its stream, back in time."""
    now = packets[0]
    earlier = [packet for packet in packets[1:] if _stream(packet) == _stream(now) and packet[3] & _HAS_PAYLOAD]
    if not earlier:
        return False
    before = earlier[0]
    return bool(before[3] & _HAS_MORE_FIELDS) and (before[3] + 1 - now[3]) % 16 != 0


def _stream(packet: bytes) -> int:
    return int.from_bytes(packet[1:3], "big") & 0x1FFF
