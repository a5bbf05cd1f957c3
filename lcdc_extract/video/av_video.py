"""A video decoded by ffmpeg's libraries, through PyAV: every kind of file, every frame timed, damage marked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import av

from lcdc_extract.errors import VideoError
from lcdc_extract.video.container import NUM_THREADS, Container, choose_stream, holds_frame
from lcdc_extract.video.damage import Damage
from lcdc_extract.video.decoded import Condition, DecodedFrame
from lcdc_extract.video.ffmpeg import Complaints, open_file
from lcdc_extract.video.orientation import Orientation
from lcdc_extract.video.shown import Changes, Converter, orientation_of


def av_name(deinterlace: bool) -> str:
    """Name and version."""
    return f"av {av.__version__}" + (", deinterlaced by bwdif" if deinterlace else "")


class Fate(NamedTuple):
    """What is known of a picture beside its pixels."""

    slot: int
    """Of the clock."""
    damaged: bool


class _Tag:
    """Goes into a decoder with a packet and comes out with its frame. PyAV tells tags apart by their identity, so each
    packet needs one of its own: small integers are shared."""

    def __init__(self, number: int) -> None:
        self.number = number


class AvVideo:
    """Goes through a file once, front to back; see `decoded.OpenVideo`."""

    def __init__(self, container: Container, *, deinterlace: bool = False) -> None:
        self._container = container
        self._deinterlace = deinterlace
        self._damage = Damage()
        self._sent = 0
        self._decoded = 0
        self._start_seconds = 0.0
        self._changes = Changes()
        self._converter = Converter()
        self._orientation = Orientation()

    def frames(self) -> Iterator[DecodedFrame]:
        """Every frame that can be decoded, in the order in which they are shown.

        Raises:
            VideoError: none can be.
        """
        clock = self._container.clock
        first = before = 0.0
        pictures = self._pictures()
        for picture, fate in deinterlaced(pictures) if self._deinterlace else pictures:
            if not self._decoded:
                first = clock.at(fate.slot)
                begin = first if clock.tells_when_shown else clock.at(0)
                self._start_seconds = begin - self._container.player_zero_seconds
            before = max(clock.at(fate.slot) - first, before)
            self._changes.look_at(picture, self._decoded)
            self._orientation = orientation_of(picture) or self._orientation  # H.264 says it once for many frames
            rgb = self._orientation.apply(self._converter.rgb(picture))
            yield DecodedFrame(self._decoded, before, rgb, fate.damaged)
            self._decoded += 1
        if not self._decoded:
            raise VideoError(f"no frame could be decoded ({'; '.join(self._damage.complaints)}). Copy the file again")

    def condition(self) -> Condition:
        lost = len(self._container.clock) - self._decoded if self._damage else 0
        return Condition(
            start_seconds=round(self._start_seconds, 6),
            frames_lost=max(0, lost),
            gaps=self._damage.gaps,
            cut_off=self._container.cut_off,
            complaints=tuple(self._damage.complaints),
            notes=self._changes.notes,
        )

    def _pictures(self) -> Iterator[tuple[Any, Fate]]:
        damage, clock, slot = self._damage, self._container.clock, -1
        with Complaints() as complaints, open_file(self._container.path) as file:
            for complaint in complaints.take_of(file.format.name):
                damage.ahead_of(0, complaint)
            stream = choose_stream(file, self._container.stream)
            decoder = stream.codec_context
            decoder.thread_count = NUM_THREADS
            decoder.copy_opaque = True
            for number, packet in self._packets(file, stream, complaints):
                for complaint in complaints.take():
                    damage.ahead_of(number, complaint)
                if number in self._container.corrupt:
                    damage.in_packet(number, "a packet is corrupt")
                try:
                    pictures = decoder.decode(packet)
                except av.FFmpegError as error:
                    pictures = []
                    complaints.add(f"{decoder.name}: {error.strerror}")
                for complaint_text in complaints.take():
                    damage.in_packet(number, complaint_text)
                for picture in pictures:
                    place = picture.opaque.number
                    late = slot
                    slot = clock.slot(place, self._sent, slot)
                    spoilt = damage.spoils(place, key_frame=picture.key_frame) or picture.is_corrupt
                    yield picture, Fate(slot, spoilt or slot <= late)  # after damage some come too late
                    slot = max(slot, late)

    def _packets(self, file: Any, stream: Any, complaints: Complaints) -> Iterator[tuple[int, Any]]:
        """The stream's packets with their number among those that are shown, then None, which empties the decoder."""
        packets = file.demux(stream)
        number = shown = 0
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                complaints.add(f"{file.format.name}: {error.strerror}")
                break
            if holds_frame(packet):
                packet.opaque = _Tag(shown)
                shown += number not in self._container.hidden
                number += 1
                self._sent = shown
                yield shown - 1, packet
        self._sent = shown + 1
        yield shown, None


def deinterlaced(pictures: Iterator[tuple[Any, Fate]]) -> Iterator[tuple[Any, Fate]]:
    """One whole picture for each interlaced one, by ffmpeg's bwdif; progressive ones stay as they are."""
    graph: Any = None
    waiting: deque[Fate] = deque()
    for picture, fate in pictures:
        if graph is None:
            graph = _bwdif(picture)
        waiting.append(fate)
        graph.push(picture)
        yield from _finished(graph, waiting)
    if graph is not None:
        graph.push(None)
        yield from _finished(graph, waiting)


def _bwdif(picture: Any) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(template=picture)
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


def _finished(graph: Any, waiting: deque[Fate]) -> Iterator[tuple[Any, Fate]]:
    while True:
        try:
            picture = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield picture, waiting.popleft()
