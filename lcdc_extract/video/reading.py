"""How videos are to be read: the settings that every decoder process gets."""

from __future__ import annotations

from dataclasses import dataclass

from lcdc_extract.config import Decoder, OnDamage, PartEdges, check_choice, check_positive, check_whole
from lcdc_extract.errors import ConfigError


@dataclass(frozen=True)
class Reading:
    """What is read of a video, by which decoder."""

    frame_step: int = 1
    """Every N-th decoded frame is sampled."""
    fps: float | None = None
    """Or the frames nearest to this rate."""
    frames_fps: float | None = None
    """Pictures a second, of videos that are sequences of pictures; None counts 25."""
    decoder: Decoder = "auto"
    """"auto" lets PyAV take over what decord cannot be trusted with."""
    on_damage: OnDamage = "mark"
    """"mark" goes on and says which frames are damaged, "fail" gives the video up."""
    video_stream: int | None = None
    """Number of a stream among the video streams, from 0; None takes the one ffmpeg would."""
    deinterlace: bool = False
    """Whether interlaced pictures go through ffmpeg's bwdif."""
    part_edges: PartEdges = "see"
    """Where parts of videos begin and end, windows "see" the frames beyond, or "clamp" as at the ends of a video."""
    longest_gap_seconds: float = 60.0
    """With `fps`: for how long one frame may stand in, where the video has none."""

    def __post_init__(self) -> None:
        check_whole("frame_step", self.frame_step, 1)
        check_choice("decoder", self.decoder, Decoder)
        check_choice("on_damage", self.on_damage, OnDamage)
        check_choice("part_edges", self.part_edges, PartEdges)
        check_positive("longest_gap_seconds", self.longest_gap_seconds)
        for name in ("fps", "frames_fps"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.video_stream is not None:
            check_whole("video_stream", self.video_stream, 0)
        for name in ("deinterlace", "video_stream"):
            if self.decoder == "decord" and getattr(self, name):
                raise ConfigError(f"`{name}` needs PyAV, `decoder='decord'` asks for decord; give one of them")
