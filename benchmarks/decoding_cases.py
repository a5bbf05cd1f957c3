"""Kinds of video files: how each is made with the ffmpeg program, and what a decoder should find in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from decoding import ffmpeg

SOURCE = {"s": "96x64", "r": "25", "d": "1"}
"""Size, frames per second and seconds of the test pattern."""

CUT = 0.6
"""The part of a file that stays when it is cut off."""


@dataclass(frozen=True)
class Case:
    """A kind of file."""

    name: str
    recipe: str
    """Steps, separated by ";", of which the last names the file. A step is the ffmpeg program's arguments, where S is
    the test pattern and S:r=50:d=2 one at another rate and length; or `join A B FILE`; `cut A FILE`, which leaves the
    first 60 %; `behead A FILE`, which leaves the rest; `write TEXT FILE`."""
    rate: Fraction | float | None = 25
    """Frames a second; None takes the times from the ffmpeg program."""
    seconds: tuple[float, ...] = ()
    """Or when each frame is shown."""
    parts: tuple[str, ...] = ()
    """Files of the recipe that hold the right pictures, one after the other; else the file itself."""
    starts: float | None = None
    """Seconds from the beginning of the file to the first picture, where that matters."""
    broken: bool = False
    """The file is no whole video, and a decoder must say so."""

    @property
    def known(self) -> str:
        """How the right pictures and times are known, in words."""
        if self.broken:
            return "the recipe: no whole video"
        pictures = "pictures: ffmpeg" + (f" of {' and '.join(self.parts)}" if self.parts else "")
        if self.seconds:
            return f"{pictures}; times: the recipe"
        return f"{pictures}; times: " + ("ffmpeg" if self.rate is None else f"{float(self.rate):g} frames/s")

    def make(self, folder: Path) -> Path:
        """Follows the recipe.

        Raises:
            RuntimeError: the ffmpeg program did not do as it was told.
        """
        for step in self.recipe.split(";"):
            self._do(shlex.split(step), folder)
        return folder / shlex.split(self.recipe)[-1]

    def _do(self, words: list[str], folder: Path) -> None:
        target = folder / words[-1]
        match words:
            case ["join", *parts, _]:
                target.write_bytes(b"".join((folder / part).read_bytes() for part in parts))
            case ["cut", whole, _]:
                content = (folder / whole).read_bytes()
                target.write_bytes(content[: int(CUT * len(content))])
            case ["behead", whole, _]:
                content = (folder / whole).read_bytes()
                target.write_bytes(content[int(CUT * len(content)) :])
            case ["write", text, _]:
                target.write_text(text)
            case _:
                run = ffmpeg([argument for word in words for argument in _expand(word)], folder)
                if run.returncode or not target.exists():
                    raise RuntimeError(f"{self.name}: {shlex.join(words)}: {run.stderr.decode('utf-8', 'replace')}")


def pattern(settings: Mapping[str, str]) -> list[str]:
    """The ffmpeg program's arguments for the test pattern as input."""
    values = ":".join(f"{key}={value}" for key, value in (SOURCE | dict(settings)).items())
    return ["-f", "lavfi", "-i", f"testsrc2={values}"]


def _expand(word: str) -> list[str]:
    name, *settings = word.split(":")
    return pattern(dict(setting.split("=") for setting in settings)) if name == "S" else [word]


def at(frames: Iterable[int], rate: float = 25) -> tuple[float, ...]:
    """Times of frames by their number."""
    return tuple(frame / rate for frame in frames)


def cut_off(what: str, rendered: str, suffix: str) -> Case:
    """A file of which the end is missing."""
    whole, rest = f"a.{suffix}", f"b.{suffix}"
    return Case(f"cut off: {what}", f"{rendered} {whole}; cut {whole} {rest}", parts=(whole,), broken=True)


def joined(name: str, first: str, second: str, suffix: str, **others: Any) -> Case:
    """Two files of one kind, one behind the other."""
    a, b, c = (f"{letter}.{suffix}" for letter in "abc")
    return Case(name, f"{first} {a}; {second} {b}; join {a} {b} {c}", parts=(a, b), **others)


NTSC = Fraction(30000, 1001)
FILM = Fraction(24000, 1001)

DROPPED = at([*range(10), *range(20, 50)])
"""Two seconds in which frames 10 to 19 are missing."""
DROP = "S:d=2 -vf \"select='not(between(n,10,19))'\" -fps_mode passthrough -enc_time_base 1/25"

PAUSE = "S -vf \"settb=1/1000,setpts='(N/25+20*gte(N,12))/TB'\" -fps_mode passthrough -enc_time_base 1/1000"

SLOWER = tuple(number**2 / 100 for number in range(25))
"""Each frame stays for longer than the one before."""
SLOW = "S -vf settb=1/1000,setpts=N*N/(100*TB) -fps_mode passthrough -enc_time_base 1/1000"

X264 = "-c:v libx264 -bf 2 -g 12"
X265 = "-c:v libx265 -bf 2 -g 12 -x265-params log-level=none"
AV1 = "-c:v libsvtav1 -preset 10 -g 12"
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 12"
MPEG4 = "-c:v mpeg4 -bf 2 -q:v 4"
XVID = "-c:v libxvid -bf 2"
"""Each P frame travels in the packet of the B frame before it. ffmpeg's encoder loses two frames at the end, and says
that two are missing after the first, which setts corrects."""
MPEG2 = "-c:v mpeg2video -bf 2 -q:v 4"
SOUND = "-f lavfi -i sine=d=2"

CODECS = (
    Case("H.264 in MP4", f"S {X264} a.mp4"),
    Case("H.264 in MOV", f"S {X264} a.mov"),
    Case("H.264 in Matroska", f"S {X264} a.mkv"),
    Case("H.264 in AVI", "S -c:v libx264 -bf 0 a.avi"),
    Case("H.264 in AVI, B frames", f"S {X264} a.avi"),
    Case("H.264 in MPEG-TS", f"S {X264} a.ts"),
    Case("H.264 in M2TS", f"S {X264} a.m2ts"),
    Case("H.264 in MPEG-PS", f"S {X264} a.mpg"),
    Case("H.264 in FLV", f"S {X264} a.flv"),
    Case("H.264 in 3GP", f"S {X264} a.3gp"),
    Case("H.264 in MXF", "S -c:v libx264 -bf 0 -g 1 a.mxf"),
    Case("H.264, raw", f"S {X264} a.h264"),
    Case("H.264, lossless", "S -c:v libx264 -qp 0 a.mp4"),
    Case("HEVC in MP4", f"S {X265} a.mp4"),
    Case("HEVC in Matroska", f"S {X265} a.mkv"),
    Case("HEVC in MPEG-TS", f"S {X265} a.ts"),
    Case("HEVC, raw", f"S {X265} a.hevc"),
    Case("VVC in MP4", "S -c:v libvvenc -preset faster a.mp4"),
    Case("VP8 in WebM", "S -c:v libvpx -auto-alt-ref 1 -lag-in-frames 10 a.webm"),
    Case("VP8 in AVI", "S -c:v libvpx a.avi"),
    Case("VP9 in WebM", f"S {VP9} a.webm"),
    Case("VP9 in WebM, hidden frames", "S -c:v libvpx-vp9 -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 16 a.webm"),
    Case("VP9 in MP4", f"S {VP9} a.mp4"),
    Case("VP8 in IVF", "S -c:v libvpx a.ivf"),
    Case("AV1 in MP4", f"S {AV1} a.mp4"),
    Case("AV1 in WebM", f"S {AV1} a.webm"),
    Case("AV1 in Matroska, by libaom", "S -c:v libaom-av1 -cpu-used 8 a.mkv"),
    Case("MPEG-4 in MP4", f"S {MPEG4} a.mp4"),
    Case("MPEG-4 in Matroska", f"S {MPEG4} a.mkv"),
    Case("MPEG-4 in AVI", "S -c:v mpeg4 -q:v 4 a.avi"),
    Case("MPEG-4 in AVI, B frames", f"S {MPEG4} a.avi"),
    Case("MPEG-4 in AVI, packed B frames (Xvid)", f"S {XVID} -bsf:v setts=ts=N a.avi"),
    Case("MPEG-4 in 3GP", "S -c:v mpeg4 a.3gp"),
    Case("MPEG-4, raw", f"S {MPEG4} a.m4v"),
    Case("MS MPEG-4 v3 (DivX 3) in AVI", "S -c:v msmpeg4 a.avi"),
    Case("MS MPEG-4 v3 (DivX 3) in Matroska", "S -c:v msmpeg4 a.mkv"),
    Case("H.263 in 3GP", "S:s=176x144 -c:v h263 a.3gp"),
    Case("MPEG-2 in MPEG-PS", f"S {MPEG2} a.mpg"),
    Case("MPEG-2 in MPEG-PS, several small frames in a packet", "S -c:v mpeg2video -bf 2 -q:v 8 -g 5 a.mpg"),
    Case("MPEG-2 in VOB", f"S {MPEG2} a.vob"),
    Case("MPEG-2 in MPEG-TS", f"S {MPEG2} a.ts"),
    Case("MPEG-2 in Matroska", f"S {MPEG2} a.mkv"),
    Case("MPEG-2 in MXF", f"S {MPEG2} a.mxf"),
    Case("MPEG-2, raw", f"S {MPEG2} a.m2v"),
    Case("MPEG-1 in MPEG-PS", "S -c:v mpeg1video -bf 2 a.mpg"),
    Case("MJPEG in AVI", "S -c:v mjpeg -q:v 3 a.avi"),
    Case("MJPEG in MOV", "S -c:v mjpeg -q:v 3 a.mov"),
    Case("MJPEG in Matroska", "S -c:v mjpeg -q:v 3 a.mkv"),
    Case("MJPEG, raw", "S -c:v mjpeg -q:v 3 a.mjpeg"),
    Case("ProRes in MOV", "S -c:v prores a.mov"),
    Case("ProRes 4444 in MOV", "S -c:v prores_ks -pix_fmt yuva444p10le a.mov"),
    Case("DNxHD in MOV", "S:s=1280x720:d=0.2 -c:v dnxhd -b:v 60M -pix_fmt yuv422p a.mov"),
    Case("DNxHR in MXF", "S:s=256x128 -c:v dnxhd -profile:v dnxhr_sq -pix_fmt yuv422p a.mxf"),
    Case("FFV1 in Matroska", "S -c:v ffv1 a.mkv"),
    Case("FFV1 in AVI", "S -c:v ffv1 a.avi"),
    Case("HuffYUV in AVI", "S -c:v huffyuv -pix_fmt yuv422p a.avi"),
    Case("Ut Video in AVI", "S -c:v utvideo a.avi"),
    Case("uncompressed in AVI", "S -c:v rawvideo -pix_fmt bgr24 a.avi"),
    Case("uncompressed in MOV", "S -c:v rawvideo -pix_fmt uyvy422 a.mov"),
    Case("Y4M", "S a.y4m"),
    Case("QuickTime Animation in MOV", "S -c:v qtrle -pix_fmt rgb24 a.mov"),
    Case("PNG in MOV", "S -c:v png a.mov"),
    Case("JPEG 2000 in MOV", "S -c:v jpeg2000 a.mov"),
    Case("Cinepak in AVI", "S -c:v cinepak a.avi"),
    Case("Theora in Ogg", "S -c:v libtheora -q:v 7 a.ogv"),
    Case("WMV 1 in WMV", "S -c:v wmv1 a.wmv"),
    Case("WMV 2 in WMV", "S -c:v wmv2 a.wmv"),
    Case("Sorenson H.263 in FLV", "S -c:v flv a.flv"),
    Case("RealVideo 2 in RM", "S -c:v rv20 a.rm"),
    Case("DV, 4:2:0", "S:s=720x576:d=0.4 -c:v dvvideo -pix_fmt yuv420p a.dv"),
    Case("DV, 4:1:1", f"S:s=720x480:r={NTSC}:d=0.4 -c:v dvvideo -pix_fmt yuv411p a.dv", rate=NTSC),
    Case("DV in AVI", "S:s=720x576:d=0.4 -c:v dvvideo -pix_fmt yuv420p a.avi"),
    Case("GIF", "S a.gif"),
    Case("animated PNG", "S a.apng"),
    Case("one PNG picture", "S -frames:v 1 a.png"),
    Case("animated WebP", "S -c:v libwebp_anim a.webp"),
)

TIMES = (
    Case("MPEG-4 in AVI, dropped frames, B frames", f"{DROP} {MPEG4} a.avi", seconds=DROPPED),
    Case("MPEG-4 in AVI, dropped frames", f"{DROP} -c:v mpeg4 a.avi", seconds=DROPPED),
    Case(
        "Xvid in AVI, dropped frames, packed B frames",
        f"S:d=1.6 {XVID} -bsf:v \"setts=ts='N+10*gte(N,10)'\" a.avi",
        seconds=DROPPED[:38],
    ),
    Case("H.264 in AVI, dropped frames, B frames", f"{DROP} {X264} a.avi", seconds=DROPPED),
    Case("MJPEG in AVI, dropped frames", f"{DROP} -c:v mjpeg a.avi", seconds=DROPPED),
    Case("H.264 in MP4, dropped frames", f"{DROP} {X264} a.mp4", seconds=DROPPED),
    Case("H.264 in MPEG-TS, dropped frames", f"{DROP} {X264} a.ts", seconds=DROPPED),
    Case("MPEG-2 in MPEG-PS, dropped frames", f"{DROP} {MPEG2} a.mpg", seconds=DROPPED),
    Case("H.264 in MP4, variable rate", f"{SLOW} {X264} a.mp4", seconds=SLOWER),
    Case("H.264 in Matroska, variable rate", f"{SLOW} {X264} a.mkv", seconds=SLOWER),
    Case("H.264 in MP4, a pause of 20 s", f"{PAUSE} {X264} a.mp4", seconds=at([*range(12), *range(512, 525)])),
    Case("VP9 in WebM, variable rate", f"{SLOW} {VP9} a.webm", seconds=SLOWER),
    Case("HEVC in MPEG-TS, variable rate", f"{SLOW} {X265} a.ts", seconds=SLOWER),
    Case("GIF, variable rate", f"{SLOW} a.gif", seconds=SLOWER),
    Case("WMV 2, variable rate", f"{SLOW} -c:v wmv2 a.wmv", seconds=SLOWER),
    Case("Sorenson H.263 in FLV, variable rate", f"{SLOW} -c:v flv a.flv", seconds=SLOWER),
    Case("1 frame/s in MP4", f"S:r=1:d=6 {X264} a.mp4", rate=1),
    Case("12.5 frames/s in MP4", f"S:r=25/2:d=2 {X264} a.mp4", rate=12.5),
    Case("23.976 frames/s in MP4", f"S:r={FILM} {X264} a.mp4", rate=FILM),
    Case("23.976 frames/s in Matroska", f"S:r={FILM} {X264} a.mkv", rate=FILM),
    Case("29.97 frames/s in MPEG-TS", f"S:r={NTSC} {X264} a.ts", rate=NTSC),
    Case("29.97 frames/s in MPEG-PS", f"S:r={NTSC} {MPEG2} a.mpg", rate=NTSC),
    Case("59.94 frames/s in MP4", f"S:r=60000/1001 {X264} a.mp4", rate=2 * NTSC),
    Case("120 frames/s in MP4", f"S:r=120 {X264} a.mp4", rate=120),
    Case("240 frames/s in Matroska", f"S:r=240 {X264} a.mkv", rate=240),
    Case("240 frames/s in AVI", "S:r=240 -c:v mjpeg a.avi", rate=240),
    Case("1000 frames/s in MP4", f"S:r=1000:d=0.5 {X264} a.mp4", rate=1000),
    Case("1000 frames/s in AVI", "S:r=1000:d=0.5 -c:v mpeg4 -q:v 4 a.avi", rate=1000),
    Case("one frame in MP4", f"S -frames:v 1 {X264} a.mp4"),
    Case("one frame in Matroska", f"S -frames:v 1 {X264} a.mkv"),
    Case("one frame in AVI", "S -frames:v 1 -c:v mpeg4 a.avi"),
    Case("one frame in WebM", f"S -frames:v 1 {VP9} a.webm"),
    Case("one frame in MPEG-TS", f"S -frames:v 1 {X264} a.ts"),
    Case("two frames in MP4", f"S -frames:v 2 {X264} a.mp4"),
    Case("two frames in AVI", "S -frames:v 2 -c:v mpeg4 a.avi"),
    Case("video 1 s after the sound, MP4", f"{SOUND} -itsoffset 1 S {X264} -c:a aac a.mp4", starts=1),
    Case("video 1 s after the sound, Matroska", f"{SOUND} -itsoffset 1 S {X264} -c:a aac a.mkv", starts=1),
    Case("video 1 s after the sound, MPEG-TS", f"{SOUND} -itsoffset 1 S {X264} -c:a mp2 a.ts", starts=1),
    Case("sound 1 s after the video, MP4", f"S:d=2 -itsoffset 1 {SOUND} {X264} -c:a aac a.mp4", starts=0),
    Case("times from 100 s on, MP4", f"S {X264} -output_ts_offset 100 a.mp4"),
    Case("times from 100 s on, Matroska", f"S {X264} -output_ts_offset 100 a.mkv", starts=0),
    Case("MPEG-TS whose 33 bit clock overflows", f"S {X264} -muxdelay 0 -output_ts_offset 95443.2 a.ts"),
    Case("MPEG-PS whose 33 bit clock overflows", f"S {MPEG2} -output_ts_offset 95443.2 a.mpg"),
    joined("joined MPEG-TS", f"S {X264}", f"S {X264} -vf negate", "ts"),
    joined("joined MPEG-TS, first part longer", f"S:d=2 {X264}", f"S {X264} -vf negate", "ts"),
    joined("joined MPEG-TS, second part longer", f"S {X264}", f"S:d=2 {X264} -vf negate", "ts"),
    joined("joined MPEG-TS, second part starts later", f"S {X264}", f"S {X264} -vf negate -output_ts_offset 0.5", "ts"),
    joined("joined MPEG-TS, key frames only", "S -c:v libx264 -g 1", "S -c:v libx264 -g 1 -vf negate", "ts"),
    Case(
        "joined MPEG-TS, three parts with sound",
        f"S:d=2 {SOUND} {X264} -c:a aac a.ts; join a.ts a.ts a.ts c.ts",
        parts=("a.ts", "a.ts", "a.ts"),
    ),
    joined("joined MPEG-PS", f"S {MPEG2}", f"S {MPEG2} -vf negate", "mpg"),
    joined("joined MPEG-PS, second part longer", f"S {MPEG2}", f"S:d=2 {MPEG2} -vf negate", "mpg"),
    Case("joined H.264, raw", f"S {X264} a.h264; S {X264} -vf negate b.h264; join a.h264 b.h264 c.h264"),
    joined(
        "joined MPEG-TS, the second part 10 h later",
        f"S {X264} -output_ts_offset 1",
        f"S {X264} -vf negate -output_ts_offset 36001",
        "ts",
        seconds=at([*range(25), *range(900_000, 900_025)]),
    ),
    joined(
        "joined MPEG-TS, the second part 5 s later",
        f"S {X264} -output_ts_offset 1",
        f"S {X264} -vf negate -output_ts_offset 6",
        "ts",
        seconds=at([*range(25), *range(125, 150)]),
    ),
    Case("joined MP4: players show the first", f"S {X264} a.mp4; S {X264} b.mp4; join a.mp4 b.mp4 c.mp4"),
    joined("joined Matroska", f"S {X264}", f"S {X264} -vf negate", "mkv"),
    joined("joined WebM", f"S {VP9}", f"S {VP9} -vf negate", "webm"),
    Case("joined AVI", f"S {MPEG4} a.avi; S {MPEG4} b.avi; join a.avi b.avi c.avi"),
    Case("joined FLV: players show the first", f"S {X264} a.flv; S {X264} b.flv; join a.flv b.flv c.flv"),
    joined("joined Ogg", "S -c:v libtheora", "S -c:v libtheora", "ogv"),
    Case("joined GIF", "S a.gif; S -vf negate b.gif; join a.gif b.gif c.gif"),
)

SUBTITLES = 'write "1\n00:00:00,100 --> 00:00:00,900\nword" a.srt'

STRUCTURE = (
    Case("cut in MP4 with an edit list", f"S:d=2 {X264} a.mp4; -ss 0.5 -i a.mp4 -c copy b.mp4"),
    Case("cut in MP4 with an edit list, key frame", f"S:d=2 {X264} a.mp4; -ss 0.48 -i a.mp4 -c copy b.mp4"),
    Case("cut in MP4 with an edit list, with sound", f"S:d=2 {SOUND} {X264} a.mp4; -ss 0.7 -i a.mp4 -c copy b.mp4"),
    Case("cut in Matroska", f"S:d=2 {X264} a.mp4; -ss 0.5 -i a.mp4 -c copy b.mkv", rate=None),
    Case("cut in MPEG-TS", f"S:d=2 {X264} a.ts; -ss 0.5 -i a.ts -c copy b.ts", rate=None),
    Case("end cut in MP4", f"S:d=2 {X264} a.mp4; -i a.mp4 -t 0.9 -c copy b.mp4", rate=None),
    Case("MP4 without edit list", f"S {X264} -use_editlist 0 a.mp4"),
    Case("MP4 with negative composition times", f"S {X264} -movflags negative_cts_offsets a.mp4"),
    Case("MP4, index in front", f"S {X264} -movflags faststart a.mp4"),
    Case("fragmented MP4", f"S {X264} -movflags frag_keyframe+empty_moov a.mp4"),
    Case("fragmented MP4, B frames delayed", f"S {X264} -movflags frag_keyframe+empty_moov+delay_moov a.mp4"),
    Case("fragmented MP4, with sound", f"S:d=2 {SOUND} {X264} -movflags frag_keyframe+empty_moov a.mp4"),
    Case("live Matroska, no length known", f"S {X264} -live 1 a.mkv"),
    Case("live WebM, no length known", f"S {VP9} -live 1 a.webm"),
    Case("FLV, no length known", f"S {X264} -flvflags no_duration_filesize a.flv"),
    Case("H.264, open GOP", f"S:d=2 {X264} -x264-params open-gop=1:keyint=10:bframes=3:b-pyramid=none a.mp4"),
    Case("HEVC, open GOP", f"S:d=2 {X265}:open-gop=1:keyint=10:bframes=3 a.mp4"),
    Case("MPEG-2, open GOP", f"S:d=2 {MPEG2} -g 12 a.mpg"),
    Case("H.264, B pyramid", "S:d=2 -c:v libx264 -x264-params bframes=8:b-pyramid=normal:b-adapt=0 a.mp4"),
    Case("H.264, intra refresh", "S:d=2 -c:v libx264 -x264-params intra-refresh=1:keyint=10:bframes=0 a.mp4"),
    Case("H.264, four slices", f"S {X264} -x264-params slices=4 a.mp4"),
    Case("HEVC, temporal layers", f"S {X265}:temporal-layers=1 a.mp4"),
    Case("MOV with a time code track", f"S {X264} -timecode 10:00:00:00 a.mov"),
    Case("MP4 with subtitles", f"{SUBTITLES}; S -i a.srt {X264} -c:s mov_text a.mp4"),
    Case("MP4 that is called .avi", f"S {X264} a.mp4; join a.mp4 b.avi"),
    Case("odd characters in the file's name", f"S {X264} a.mp4; join a.mp4 'é %d ?#: 100%.mp4'"),
    Case("MPEG-TS without its beginning", f"S:d=2 {X264} a.ts; behead a.ts b.ts", rate=None),
    Case("HEVC in MPEG-TS without its beginning", f"S:d=2 {X265} a.ts; behead a.ts b.ts", rate=None),
    Case("MPEG-PS without its beginning", f"S:d=2 {MPEG2} a.mpg; behead a.mpg b.mpg", rate=None),
)

ORIENTATION = (
    *(
        Case(f"MP4, {what}", f"S -c:v libx264 -pix_fmt yuv444p a.mp4; {options} -i a.mp4 -c copy b.mp4")
        for what, options in (
            ("turned by 90", "-display_rotation 90"),
            ("turned by 180", "-display_rotation 180"),
            ("turned by 270", "-display_rotation 270"),
            ("mirrored", "-display_hflip"),
            ("upside down", "-display_vflip"),
            ("turned by 90 and mirrored", "-display_rotation 90 -display_hflip"),
            ("turned by 270 and upside down", "-display_rotation 270 -display_vflip"),
            ("turned by 180 and mirrored", "-display_rotation 180 -display_hflip"),
        )
    ),
    Case("MOV, turned by 90", "S -c:v mjpeg -pix_fmt yuvj444p a.mov; -display_rotation 90 -i a.mov -c copy b.mov"),
    Case(
        "Matroska, turned by 90", "S -c:v libx264 -pix_fmt yuv444p a.mp4; -display_rotation 90 -i a.mp4 -c copy b.mkv"
    ),
    Case(
        "H.264 in MPEG-TS, turned by 90 in the stream",
        "S -c:v libx264 -pix_fmt yuv444p -bsf:v h264_metadata=display_orientation=insert:rotate=90 a.ts",
    ),
    Case(
        "H.264 in MP4, mirrored in the stream",
        "S -c:v libx264 -pix_fmt yuv444p -bsf:v h264_metadata=display_orientation=insert:flip=horizontal a.mp4",
    ),
    Case("MP4, turned by 33", "S -c:v libx264 -pix_fmt yuv444p a.mp4; -display_rotation 33 -i a.mp4 -c copy b.mp4"),
)

COVER = "S -frames:v 1 -vf negate cover.jpg"
ATTACHED = "-c:v:1 copy -disposition:v:1 attached_pic"
SMALL_AND_LARGE = f"S:s=64x48 S:s=128x96 -map 0 -map 1 {X264}"

STREAMS = (
    Case(
        "cover picture after the video, MP4", f"{COVER}; S -i cover.jpg -map 0 -map 1 -c:v:0 libx264 {ATTACHED} a.mp4"
    ),
    Case("cover picture, Matroska", f"{COVER}; S {X264} -attach cover.jpg -metadata:s:t mimetype=image/jpeg a.mkv"),
    Case(
        "cover picture before the video, MP4",
        f"{COVER}; S -i cover.jpg -map 1 -map 0 -c:v:0 copy -disposition:v:0 attached_pic -c:v:1 libx264 a.mp4",
    ),
    Case("two video streams, MP4", f"{SMALL_AND_LARGE} a.mp4"),
    Case("two video streams, MPEG-TS", f"{SMALL_AND_LARGE} a.ts"),
    Case("two video streams, the small one is default", f"{SMALL_AND_LARGE} -disposition:v:0 default a.mkv"),
    Case(
        "two video streams, the large one is default",
        f"{SMALL_AND_LARGE} -disposition:v:0 0 -disposition:v:1 default a.mkv",
    ),
    Case("two video streams, none is default", f"{SMALL_AND_LARGE} -disposition:v 0 -default_mode passthrough a.mkv"),
    Case("video, sound, subtitles", f"{SUBTITLES}; S {SOUND} -i a.srt {X264} a.mkv"),
    Case("sound only, M4A", f"{SOUND} -c:a aac a.m4a", broken=True),
    Case("sound only, MP3", f"{SOUND} a.mp3", broken=True),
    Case(
        "sound and cover picture, MP3",
        f"{COVER}; {SOUND} -i cover.jpg -map 0 -map 1 -c:v copy -disposition:v attached_pic a.mp3",
        broken=True,
    ),
    Case(
        "sound and cover picture, M4A",
        f"{COVER}; {SOUND} -i cover.jpg -map 0 -map 1 -c:v copy -disposition:v attached_pic a.m4a",
        broken=True,
    ),
)

PIXELS = (
    Case("10 bit, H.264", f"S {X264} -pix_fmt yuv420p10le a.mp4"),
    Case("10 bit, HEVC", f"S {X265} -pix_fmt yuv420p10le a.mp4"),
    Case("10 bit 4:2:2, H.264", f"S {X264} -pix_fmt yuv422p10le a.mp4"),
    Case("12 bit 4:4:4, HEVC", f"S {X265} -pix_fmt yuv444p12le a.mp4"),
    Case("10 bit, VP9", f"S {VP9} -pix_fmt yuv420p10le a.webm"),
    Case("10 bit, AV1", f"S {AV1} -pix_fmt yuv420p10le a.mp4"),
    Case("4:2:2, H.264", f"S {X264} -pix_fmt yuv422p a.mp4"),
    Case("4:4:4, H.264", f"S {X264} -pix_fmt yuv444p a.mp4"),
    Case("4:4:0, VP9", f"S {VP9} -pix_fmt yuv440p a.webm"),
    Case("4:1:1, FFV1", "S -c:v ffv1 -pix_fmt yuv411p a.mkv"),
    Case("4:1:0, FFV1", "S -c:v ffv1 -pix_fmt yuv410p a.mkv"),
    Case("RGB, H.264", "S -c:v libx264rgb -pix_fmt rgb24 a.mp4"),
    Case("RGB, VP9", f"S {VP9} -pix_fmt gbrp a.webm"),
    Case("alpha, VP9", f"S {VP9} -pix_fmt yuva420p -auto-alt-ref 0 a.webm"),
    Case("16 bit RGB, FFV1", "S -c:v ffv1 -pix_fmt gbrp16le a.mkv"),
    Case("grey, H.264", f"S {X264} -pix_fmt gray a.mp4"),
    Case("grey, 10 bit, H.264", f"S {X264} -pix_fmt gray10le a.mp4"),
    Case("black and white, 1 bit", "S -c:v rawvideo -pix_fmt monob a.avi"),
    Case("full range, H.264", f"S {X264} -vf scale=out_range=full a.mp4"),
    Case("full range, MJPEG", "S -c:v mjpeg -pix_fmt yuvj420p a.avi"),
    Case("limited range, MJPEG", "S -c:v mjpeg -pix_fmt yuv420p -color_range tv -strict unofficial a.avi"),
    Case("BT.709, H.264", f"S {X264} -vf scale=out_color_matrix=bt709 -colorspace bt709 a.mp4"),
    Case("BT.601, H.264", f"S {X264} -vf scale=out_color_matrix=bt601 -colorspace smpte170m a.mp4"),
    Case("BT.2020, HEVC, 10 bit", f"S {X265}:colormatrix=bt2020nc -pix_fmt yuv420p10le a.mp4"),
    Case(
        "PQ (HDR), HEVC",
        f"S {X265}:colormatrix=bt2020nc:transfer=smpte2084:colorprim=bt2020 -pix_fmt yuv420p10le a.mp4",
    ),
    Case("pixels that are no squares", f"S {X264} -vf setsar=16/11 a.mp4"),
    Case("35x35, H.264", f"S -vf scale=35:35 {X264} -pix_fmt yuv444p a.mp4"),
    Case("35x35, MPEG-4", f"S -vf scale=35:35 {MPEG4} a.avi"),
    Case("35x35, VP9", f"S -vf scale=35:35 {VP9} a.webm"),
    Case("97x65, MPEG-4", f"S -vf scale=97:65 {MPEG4} a.mp4"),
    Case("97x65, VP8", "S -vf scale=97:65 -c:v libvpx a.webm"),
    Case("97x65, MJPEG", "S -vf scale=97:65 -c:v mjpeg -pix_fmt yuvj420p a.avi"),
    Case("97x65, HEVC", f"S -vf scale=97:65 {X265} -pix_fmt yuv444p a.mp4"),
    Case("98x66, H.264", f"S -vf scale=98:66 {X264} a.mp4"),
    Case("1x1, FFV1", "S -vf scale=1:1 -c:v ffv1 -pix_fmt yuv444p a.mkv"),
    Case("1x1, MJPEG", "S -vf scale=1:1 -c:v mjpeg a.avi"),
    Case("1x1, VP9", f"S -vf scale=1:1 {VP9} a.webm"),
    Case("2x2, H.264", f"S -vf scale=2:2 {X264} a.mp4"),
    Case("16x2, H.264", f"S -vf scale=16:2 {X264} a.mp4"),
    Case("2x300, MPEG-4", f"S -vf scale=2:300 {MPEG4} a.mp4"),
    Case("interlaced, top field first, MPEG-2", f"S {MPEG2} -flags +ilme+ildct -vf setfield=tff a.mpg"),
    Case("interlaced, bottom field first, MPEG-2", f"S {MPEG2} -flags +ilme+ildct -vf setfield=bff a.ts"),
    Case("interlaced, top field first, H.264", f"S {X264} -x264-params tff=1 -vf setfield=tff a.mp4"),
    Case("interlaced, bottom field first, H.264", f"S {X264} -x264-params bff=1 -vf setfield=bff a.mkv"),
    Case("interlaced, H.264 in MPEG-TS", f"S {X264} -x264-params tff=1 -vf setfield=tff a.ts"),
)

JOIN_MP4 = "write 'file a.mp4\nfile b.mp4' list; -f concat -i list -c copy c.mp4"
JOIN_WEBM = "write 'file a.webm\nfile b.webm' list; -f concat -i list -c copy c.webm"

CHANGES = (
    joined("size shrinks, MPEG-TS", f"S:s=128x96 {X264}", f"S {X264}", "ts"),
    joined("size grows, MPEG-TS", f"S {X264}", f"S:s=128x96 {X264}", "ts"),
    joined("size shrinks, MJPEG", "S:s=128x96", "S", "mjpeg"),
    joined("size grows, MJPEG", "S", "S:s=128x96", "mjpeg"),
    Case(
        "size grows, H.264 in MP4",
        f"S {X264} a.mp4; S:s=128x96 {X264} b.mp4; {JOIN_MP4}",
        parts=("a.mp4", "b.mp4"),
    ),
    Case(
        "size shrinks, H.264 in MP4",
        f"S:s=128x96 {X264} a.mp4; S {X264} b.mp4; {JOIN_MP4}",
        parts=("a.mp4", "b.mp4"),
    ),
    Case(
        "size shrinks, H.264 in Matroska",
        f"S:s=128x96 {X264} a.ts; S {X264} b.ts; join a.ts b.ts c.ts; -i c.ts -c copy c.mkv",
        parts=("a.ts", "b.ts"),
    ),
    Case(
        "size shrinks, VP9 in WebM",
        f"S:s=128x96 {VP9} a.webm; S {VP9} b.webm; {JOIN_WEBM}",
        parts=("a.webm", "b.webm"),
    ),
    joined("pixel format changes, MPEG-TS", f"S {X264}", f"S {X264} -pix_fmt yuv444p", "ts"),
    joined("codec changes, MPEG-TS", f"S {X264}", f"S {MPEG2}", "ts", broken=True),
)

BROKEN = (
    *(
        Case(
            f"cut off: {what}",
            f"S:d=2 {options} a.{suffix}; cut a.{suffix} b.{suffix}",
            parts=(f"a.{suffix}",),
            broken=True,
        )
        for what, options, suffix in (
            ("MP4, index in front", f"{X264} -movflags faststart", "mp4"),
            ("MP4, index at the end", X264, "mp4"),
            ("fragmented MP4", f"{X264} -movflags frag_keyframe+empty_moov", "mp4"),
            ("MOV, MJPEG, index in front", "-c:v mjpeg -movflags faststart", "mov"),
            ("Matroska", X264, "mkv"),
            ("live Matroska", f"{X264} -live 1", "mkv"),
            ("WebM", VP9, "webm"),
            ("AVI, MPEG-4", MPEG4, "avi"),
            ("AVI, MJPEG", "-c:v mjpeg", "avi"),
            ("MPEG-TS, H.264", X264, "ts"),
            ("MPEG-TS, MPEG-2", MPEG2, "ts"),
            ("M2TS", X264, "m2ts"),
            ("MPEG-PS", MPEG2, "mpg"),
            ("WMV", "-c:v wmv2", "wmv"),
            ("FLV, H.264", X264, "flv"),
            ("FLV, Sorenson H.263", "-c:v flv", "flv"),
            ("Ogg, Theora", "-c:v libtheora", "ogv"),
            ("GIF", "", "gif"),
            ("MXF, MPEG-2", MPEG2, "mxf"),
            ("RM", "-c:v rv20", "rm"),
            ("DV", "-s 720x576 -pix_fmt yuv420p", "dv"),
            ("Y4M", "", "y4m"),
            ("IVF", "-c:v libvpx", "ivf"),
            ("H.264, raw", X264, "h264"),
            ("HEVC, raw", X265, "hevc"),
            ("MPEG-2, raw", MPEG2, "m2v"),
            ("MJPEG, raw", "", "mjpeg"),
            ("animated PNG", "", "apng"),
            ("animated WebP", "-c:v libwebp_anim", "webp"),
        )
    ),
    Case("empty file", 'write "" a.mp4', broken=True),
    Case("text file", 'write "This is no video, whatever its name may say." a.mp4', broken=True),
)

CASES = CODECS + TIMES + STRUCTURE + ORIENTATION + STREAMS + PIXELS + CHANGES + BROKEN
