"""What a video file says before its frames are decoded: which stream, when each frame is shown, what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from lcdc_extract.errors import VideoError
from lcdc_extract.video.clock import Clock, Stamp
from lcdc_extract.video.endings import missing_end
from lcdc_extract.video.ffmpeg import Complaints, open_file
from lcdc_extract.video.orientation import Orientation
from lcdc_extract.video.shown import orientation_of
from lcdc_extract.video.transport_stream import begins_anew

NUM_THREADS = 1
"""Per decoder: several videos decode side by side instead."""

_DEFAULT_STREAM_BONUS = 5_000_000
"""Pixels that the "default" flag of a stream is worth when ffmpeg chooses one."""

_DURATION_IS_A_CLAIM = ("matroska,webm", "flv", "mxf")
"""Containers whose header says how long they are; of others ffmpeg reports what it finds."""

_RATE_FACTOR = 2.0
"""A frame rate that is so much off the distance of the frames is that of something else: fields, or ticks."""

_JOINT_PACKETS = 4
"""Where files were joined, MPEG-TS calls one of the packets ahead of the joint damaged, because its counters jump. If
it really is, its decoder complains."""

_PACKED = re.compile(rb"DivX\d+(b|Build)\d+p")
"""How encoders sign MPEG-4 whose B frames share a packet with the frame after them."""

_THEORA_HEADER = 0x80
"""Theora specification, 6.1: the first bit of a packet that is no frame."""

_MOST_FRAMES_IN_A_RATE = 1000.0


@dataclass(frozen=True)
class Container:
    """A video file, opened and read through once without decoding more than its first frame."""

    path: Path
    format: str
    """ffmpeg's name, e.g. "mov,mp4,m4a,3gp,3g2,mj2"."""
    codec: str
    pixel_format: str
    stream: int
    """Number of the chosen stream among the video streams, as in ffmpeg's v:N."""
    streams: int
    """Video streams in the file, cover pictures included."""
    width: int
    """Pixels, as shown."""
    height: int
    orientation: Orientation
    interlaced: bool
    fps: float
    """Frames per second as the stream says, or as its packets have it; 0 where neither is known."""
    clock: Clock
    player_zero_seconds: float
    """Where players start counting, on the stream's clock: the start of whichever stream begins first."""
    hidden: frozenset[int]
    """Packets whose frames are decoded and not shown (edit lists)."""
    cut_off: str | None
    """What is missing at the end, in words."""
    corrupt: frozenset[int]
    """Packets that the container itself calls damaged; numbers count those that are shown."""
    faults: tuple[str, ...]
    """ffmpeg's complaints while it read the packets."""
    notes: tuple[str, ...]

    @property
    def nominal_fps(self) -> float:
        """Frames per second between most frames, and at least the mean."""
        return max(self.fps, 1 / self.clock.interval_seconds if self.clock.interval_seconds else 0.0)


def read_container(
    path: Path, video_stream: int | None = None, on_packet: Callable[[], None] = lambda: None
) -> Container:
    """Opens a video file and reads its packets.

    Args:
        path: the file.
        video_stream: number of a stream among the video streams; None takes the one ffmpeg would.
        on_packet: called now and then, as a sign of life.

    Raises:
        VideoError: it is no video that ffmpeg knows, or nothing in it can be decoded.
    """
    with Complaints() as complaints, open_file(path) as file:
        survey = _Survey(choose_stream(file, video_stream))
        survey.hear(complaints.take_of(file.format.name))
        for packet in _packets(file, complaints):
            survey.take(packet, complaints.take())
            on_packet()
        survey.hear(complaints.take())
        return survey.container(path, file)


def choose_stream(file: Any, wanted: int | None) -> Any:
    """The video stream that ffmpeg would take: never a cover picture, default ones first, then the largest.

    Raises:
        VideoError: there is none, or not the one that is wanted, or ffmpeg does not know how it is coded.
    """
    stream = _choose(file, wanted)
    if stream.codec_context is None:
        raise VideoError(
            "PyAV's ffmpeg does not know how the video is coded; convert it with a program that plays it, for example "
            "to MP4 with H.264"
        )
    return stream


def _choose(file: Any, wanted: int | None) -> Any:
    videos = list(file.streams.video)
    moving = [stream for stream in videos if not stream.disposition & av.stream.Disposition.attached_pic]
    if wanted is not None:
        if wanted >= len(videos):
            raise VideoError(f"`video_stream={wanted}`: the file has {len(videos)} video streams, counted from 0")
        return videos[wanted]
    if not moving:
        raise VideoError(_no_stream(videos, len(file.streams)))
    return max(moving, key=_preference)


class _Survey:
    """What is learnt packet by packet."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._decoder = stream.codec_context
        self._decoder.thread_count = NUM_THREADS
        self._first: Any = None
        self._stamps: list[Stamp] = []
        self._packets = 0
        self._hidden: set[int] = set()
        self._corrupt: set[int] = set()
        self._key_places: dict[int, int] = {}  # bytes at which key frames begin
        self._last_dts = 0
        self._frame_bytes = 0
        self._end_seconds = 0.0
        self._faults: list[str] = []

    def hear(self, complaints: list[str]) -> None:
        self._faults += complaints

    def take(self, packet: Any, complaints: list[str]) -> None:
        self.hear(complaints)
        tick = packet.dts if packet.pts is None else packet.pts
        if tick is not None:
            self._end_seconds = max(self._end_seconds, float((tick + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != self._stream.index or not holds_frame(packet):
            return
        if packet.is_corrupt:
            self._corrupt.add(len(self._stamps))
        if packet.is_keyframe and packet.pos is not None:
            self._key_places[len(self._stamps)] = packet.pos
        if packet.is_discard:
            self._hidden.add(self._packets)
        else:
            self._stamps.append(Stamp(packet.pts, packet.dts, packet.is_keyframe))
        self._packets += 1
        self._frame_bytes = self._frame_bytes or packet.size
        self._last_dts = max(self._last_dts, packet.dts or 0)
        if self._first is None:
            self._decode(packet)

    def container(self, path: Path, file: Any) -> Container:
        stream = self._stream
        if self._first is None:
            self._decode(None)
        if self._first is None:
            raise VideoError(_nothing_decoded(self._packets, stream, self._faults))
        orientation = orientation_of(self._first) or Orientation()
        size = (self._first.height, self._first.width)
        height, width = reversed(size) if orientation.transposed else size
        fps = _known_rate(stream.average_rate) or _known_rate(stream.guessed_rate)
        packed = bool(_PACKED.search(self._decoder.extradata or b""))
        clock = Clock(self._stamps, stream.time_base, fps, packed=packed)
        joints = self._joints(path, file.format.name)
        near = {place - back for place in (*clock.restarts, *clock.leaps, *joints) for back in range(_JOINT_PACKETS)}
        corrupt = frozenset(self._corrupt - near)
        return Container(
            path=path,
            format=file.format.name,
            codec=self._decoder.codec.canonical_name,
            pixel_format=self._first.format.name,
            stream=list(file.streams.video).index(stream),
            streams=len(file.streams.video),
            width=width,
            height=height,
            orientation=orientation,
            interlaced=bool(self._first.interlaced_frame),
            fps=_plausible_rate(fps, stream, clock),
            clock=clock,
            player_zero_seconds=_player_zero(file, clock),
            hidden=frozenset(self._hidden),
            cut_off=self._cut_off(path, file, clock),
            corrupt=corrupt,
            faults=tuple(dict.fromkeys([*self._faults, *(["a packet is corrupt"] if corrupt else [])])),
            notes=(*_stream_notes(file, stream, width, height), *clock.notes, *_joint_notes(joints, clock)),
        )

    def _joints(self, path: Path, container: str) -> list[int]:
        """Key frames at which the counters of a transport stream begin anew."""
        if container != "mpegts":
            return []
        behind = {corrupt + ahead for corrupt in self._corrupt for ahead in range(_JOINT_PACKETS)}
        keys = sorted(behind & self._key_places.keys())
        return [key for key in keys if begins_anew(path, self._key_places[key])]

    def _decode(self, packet: Any) -> None:
        try:
            self._first = next(iter(self._decoder.decode(packet)), None)
        except av.FFmpegError:
            return  # told when the video is decoded

    def _cut_off(self, path: Path, file: Any, clock: Clock) -> str | None:
        announced, found = self._stream.frames, self._packets
        if file.format.name == "avi":
            found = max(found, self._last_dts + 1)  # frames that were dropped while recording count too
        if announced > found:
            return f"the header announces {announced} frames, the file holds {found}"
        if file.format.name in _DURATION_IS_A_CLAIM and file.duration:
            missing = file.duration / av.time_base - self._end_seconds
            if missing > 2 * clock.interval_seconds + 0.1:
                return (
                    f"the header announces {file.duration / av.time_base:.2f} s, the file ends {missing:.2f} s sooner"
                )
        return missing_end(path, file.format.name, self._frame_bytes)


def holds_frame(packet: Any) -> bool:
    """Whether a packet of the video stream is that of a frame: joined Ogg files repeat the three headers of Theora."""
    is_header = packet.stream.codec_context.name == "theora" and packet.size and bytes(packet)[0] & _THEORA_HEADER
    return packet.size > 0 and not is_header


def _packets(file: Any, complaints: Complaints) -> Iterator[Any]:
    """All packets that hold something; those of other streams tell where the file ends."""
    packets = file.demux()
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            complaints.add(str(error.strerror))
            return
        if packet.size:
            yield packet


def _preference(stream: Any) -> int:
    context = stream.codec_context
    if context is None:  # nothing decodes it
        return -1
    is_default = bool(stream.disposition & av.stream.Disposition.default)
    return (context.width or 0) * (context.height or 0) + is_default * _DEFAULT_STREAM_BONUS


def _known_rate(rate: Fraction | None) -> float:
    return float(rate) if rate and rate > 0 else 0.0


def _plausible_rate(fps: float, stream: Any, clock: Clock) -> float:
    """The rate the stream says, unless it is not that of its frames; then their mean."""
    if len(clock) < 2 or clock.seconds[-1] == clock.seconds[0]:
        return fps if fps <= _MOST_FRAMES_IN_A_RATE else _known_rate(stream.guessed_rate)
    nominal = 1 / clock.interval_seconds
    for rate in (fps, _known_rate(stream.guessed_rate)):
        if rate and 1 / _RATE_FACTOR < rate / nominal < _RATE_FACTOR:
            return rate
    return (len(clock) - 1) / float(clock.seconds[-1] - clock.seconds[0])


def _player_zero(file: Any, clock: Clock) -> float:
    begin = clock.at(0)
    return begin if file.start_time is None else min(begin, file.start_time / av.time_base)


def _stream_notes(file: Any, stream: Any, width: int, height: int) -> tuple[str, ...]:
    videos = [other for other in file.streams.video if not other.disposition & av.stream.Disposition.attached_pic]
    if len(videos) < 2:
        return ()
    number = list(file.streams.video).index(stream)
    return (f"the file has {len(videos)} video streams; number {number} ({width}x{height}) is taken",)


def _joint_notes(joints: list[int], clock: Clock) -> tuple[str, ...]:
    return tuple(
        f"the packets of the file are counted anew at frame {joint}: recordings were joined, or whole frames are lost"
        for joint in joints
        if joint not in clock.restarts
    )


def _no_stream(videos: list[Any], streams: int) -> str:
    if videos:
        return "the file holds no video, only a cover picture: it is an audio file"
    if streams:
        return (
            "the file holds no video stream: it is an audio file, or, if a player shows pictures, one to convert: "
            "ffmpeg -i IN OUT.mp4"
        )
    return "the file holds no stream that ffmpeg knows; convert it: ffmpeg -i IN OUT.mp4"


def _nothing_decoded(packets: int, stream: Any, faults: list[str]) -> str:
    if not packets:
        return "the video stream is empty: no packet of it is in the file. Copy it again"
    why = f" ({faults[0]})" if faults else ""
    return (
        f"no frame could be decoded from {packets} packets of {stream.codec_context.name}{why}: the file is damaged, "
        "or of a kind that PyAV's ffmpeg does not know. Copy it again, or convert it with a program that plays it"
    )
