"""What is noticed of damage: renders videos with varied settings, harms each, and decodes both with "auto".

Of the whole ones nothing may be called damaged. A frame is wrong where the ffmpeg program has another picture in the
whole video at that time. Prints tables; JSON goes to benchmarks/results/decoding_damage.json.
Usage: python benchmarks/decoding_damage.py [--count 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import numpy.typing as npt
from decoding import Outcome, Picture, by_ffmpeg, by_pool, ffmpeg, markdown, versions, without_addresses
from decoding_cases import pattern
from machine import save
from tqdm import tqdm

from lcdc_extract.video import what_is_wrong

RATE = 25
"""Frames a second."""

LATE = 0.25
"""Of the distance of two frames: a frame that is farther from its right time is wrong."""

SPOT_BYTES = 12
"""So many bytes tell where in a file a place of a packet is."""

STRETCH_BYTES = (16, 2000)


@dataclass(frozen=True)
class Codec:
    """One encoder of the ffmpeg program."""

    containers: tuple[str, ...]
    settings: dict[str, tuple[str, ...]]
    """Options, each with values of which one is drawn."""


_COMMON = {"-g": ("5", "12", "250")}
CODECS = {
    "H.264": Codec(
        ("mp4", "mkv", "ts", "avi"),
        {
            "-c:v": ("libx264",),
            "-bf": ("0", "2", "3"),
            "-crf": ("18", "28"),
            "-preset": ("veryfast", "slow"),
            "-x264-params": ("slices=1", "slices=4", "open-gop=1", "cabac=0"),
            **_COMMON,
        },
    ),
    "HEVC": Codec(
        ("mp4", "mkv", "ts"),
        {
            "-c:v": ("libx265",),
            "-bf": ("0", "3"),
            "-crf": ("20", "30"),
            "-preset": ("ultrafast", "fast"),
            "-x265-params": ("log-level=none", "log-level=none:open-gop=0", "log-level=none:slices=2"),
            **_COMMON,
        },
    ),
    "VP9": Codec(
        ("webm", "mp4"),
        {
            "-c:v": ("libvpx-vp9",),
            "-cpu-used": ("5", "8"),
            "-lag-in-frames": ("0", "16"),
            "-error-resilient": ("0", "default"),
            "-b:v": ("200k", "600k"),
            **_COMMON,
        },
    ),
    "MPEG-4": Codec(
        ("mp4", "avi", "mkv"),
        {"-c:v": ("mpeg4",), "-bf": ("0", "2"), "-q:v": ("3", "8"), "-ps": ("0", "300"), **_COMMON},
    ),
    "MPEG-2": Codec(
        ("mpg", "ts", "mkv"),
        {"-c:v": ("mpeg2video",), "-bf": ("0", "2"), "-q:v": ("3", "8"), **_COMMON},
    ),
    "MJPEG": Codec(
        ("avi", "mov", "mkv"),
        {"-c:v": ("mjpeg",), "-q:v": ("2", "6"), "-huffman": ("default", "optimal")},
    ),
}


@dataclass(frozen=True)
class Sample:
    """A video, whole and harmed."""

    name: str
    codec: str
    kind: str
    options: str
    whole: Path
    harmed: Path


@dataclass(frozen=True)
class Finding:
    """What became of a harmed video, or of a whole one."""

    name: str
    codec: str
    kind: str
    options: str
    complaint: str
    """The first thing the ffmpeg program said."""
    told: bool
    said: str
    """What the user hears."""
    frames: int
    frames_expected: int
    wrong_marked: int
    wrong_unmarked: int
    right_marked: int

    @property
    def wrong(self) -> bool:
        """Whether the pictures are not those of the whole video; nobody knows where it is refused."""
        return bool(self.wrong_marked + self.wrong_unmarked) or self.frames != self.frames_expected


def flip_bit(path: Path, rng: np.random.Generator) -> bytes:
    """One bit in one packet."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size > SPOT_BYTES]
    while True:
        packet = packets[rng.integers(len(packets))]
        place = rng.integers(len(packet) - SPOT_BYTES)
        spot = packet[place : place + SPOT_BYTES]
        if content.count(spot) == 1:  # elsewhere a container puts its own headers in between
            content[content.index(spot)] ^= 1 << int(rng.integers(8))
            return bytes(content)


def zero_stretch(path: Path, rng: np.random.Generator) -> bytes:
    """A stretch of zeros, as after a bad sector."""
    content = path.read_bytes()
    begin, end = _stretch(len(content), rng)
    return content[:begin] + bytes(end - begin) + content[end:]


def lose_stretch(path: Path, rng: np.random.Generator) -> bytes:
    """A stretch that is not there, as after a bad transmission."""
    content = path.read_bytes()
    begin, end = _stretch(len(content), rng)
    return content[:begin] + content[end:]


def cut_off(path: Path, rng: np.random.Generator) -> bytes:
    """The beginning of a file."""
    content = path.read_bytes()
    return content[: int(len(content) * rng.uniform(0.2, 0.95))]


def _stretch(size: int, rng: np.random.Generator) -> tuple[int, int]:
    begin = int(size * rng.uniform(0.1, 0.9))
    return begin, min(size, begin + int(np.exp(rng.uniform(*np.log(STRETCH_BYTES)))))


HARM: dict[str, Callable[[Path, np.random.Generator], bytes]] = {
    "one bit flipped": flip_bit,
    "a stretch zeroed": zero_stretch,
    "a stretch lost": lose_stretch,
    "cut off": cut_off,
}


def render(codec: str, kind: str, number: int, seed: int, folder: Path) -> Sample:
    """Draws settings and a place for the damage, and makes both files."""
    rng = np.random.default_rng([seed, list(CODECS).index(codec), list(HARM).index(kind), number])
    drawn = {option: str(rng.choice(values)) for option, values in CODECS[codec].settings.items()}
    options = " ".join(f"{option} {value}" for option, value in drawn.items())
    containers = CODECS[codec].containers
    name = f"{codec} {kind} {number}.{containers[number % len(containers)]}"
    whole, harmed = folder / f"whole {name}", folder / name
    run = ffmpeg([*pattern({"r": str(RATE)}), *options.split(), whole.name], folder)
    if run.returncode:
        raise RuntimeError(f"{name}: {options}: {run.stderr.decode('utf-8', 'replace')}")
    harmed.write_bytes(HARM[kind](whole, rng))
    return Sample(name, codec, kind, options, whole, harmed)


def judge(sample: Sample, kind: str, complaint: str, right: Sequence[bytes], found: Outcome) -> Finding:
    """Compares with the pictures of the whole video, given by their checksums, frame by frame, by presentation time."""
    marked = np.array(found.damaged, bool)
    wrong = _wrong(right, found)
    return Finding(
        name=sample.name,
        codec=sample.codec,
        kind=kind,
        options=sample.options,
        complaint=complaint,
        told=found.told,
        said=without_addresses(found.refused or what_is_wrong(found.condition, sum(found.damaged))),
        frames=len(found.pictures),
        frames_expected=len(right),
        wrong_marked=int((wrong & marked).sum()),
        wrong_unmarked=int((wrong & ~marked).sum()),
        right_marked=int((~wrong & marked).sum()),
    )


def _wrong(right: Sequence[bytes], found: Outcome) -> npt.NDArray[np.bool_]:
    """bool (T,). The first frames may be lost, so the first found may be any; what makes most frames right is taken."""
    pictures = [_checksum(picture) for picture in found.pictures]
    places = np.array(found.seconds) * RATE
    best = np.ones(len(pictures), bool)
    for lost in range(len(right)):
        nearest = np.rint(places + lost).astype(int)
        shown = [right[place] if place < len(right) else b"" for place in nearest]
        same = np.array([one == other for one, other in zip(shown, pictures, strict=True)], bool)
        best = min(best, ~same | (np.abs(places + lost - nearest) > LATE), key=np.count_nonzero)
    return best


def _checksum(picture: Picture) -> bytes:
    return sha256(picture.tobytes()).digest()


def complaint_about(path: Path) -> str:
    """The first thing the ffmpeg program says while it decodes, but about its own output; "" if nothing."""
    lines = ffmpeg(["-i", str(path), "-f", "null", "-"], path.parent).stderr.decode("utf-8", "replace").splitlines()
    return next((without_addresses(line) for line in lines if not line.startswith(("[null @", "    Last message"))), "")


def run(count: int, seed: int, folder: Path) -> list[Finding]:
    """Findings of every harmed and every whole video."""
    todo = list(itertools.product(CODECS, HARM, range(count)))
    samples = [render(codec, kind, number, seed, folder) for codec, kind, number in tqdm(todo, desc="rendering")]
    right = {
        sample.name: [_checksum(picture) for picture in by_ffmpeg(sample.whole).pictures]
        for sample in tqdm(samples, desc="by ffmpeg")
    }
    by_name = {sample.name: sample for sample in samples}
    findings = []
    for what in ("harmed", "whole"):
        paths = {sample.name: sample.harmed if what == "harmed" else sample.whole for sample in samples}
        for name, found in tqdm(by_pool(paths, "auto"), desc=what, total=len(paths)):
            kind = by_name[name].kind if what == "harmed" else what
            findings.append(judge(by_name[name], kind, complaint_about(paths[name]), right[name], found))
    return sorted(findings, key=lambda finding: (finding.kind, finding.name))


HEADS = (
    *("files", "wrong", "ffmpeg complains", "told", "told where ffmpeg complains", "told where wrong"),
    *("wrong frames marked", "wrong frames marked where ffmpeg complains", "right frames marked"),
)


def counted(findings: Sequence[Finding]) -> list[str]:
    """A row of the table."""
    wrong = [finding for finding in findings if finding.wrong]
    complained = [finding for finding in findings if finding.complaint]
    return [
        str(len(findings)),
        str(len(wrong)),
        str(len(complained)),
        str(_told(findings)),
        f"{_told(complained)} of {len(complained)}",
        f"{_told(wrong)} of {len(wrong)}",
        _marked(findings),
        _marked(complained),
        str(sum(finding.right_marked for finding in findings)),
    ]


def _marked(findings: Sequence[Finding]) -> str:
    marked = sum(finding.wrong_marked for finding in findings)
    return f"{marked} of {marked + sum(finding.wrong_unmarked for finding in findings)}"


def _told(findings: Iterable[Finding]) -> int:
    return sum(finding.told for finding in findings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="files of each kind, for each codec")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        findings = run(options.count, options.seed, Path(folder))
    kinds = {kind: [finding for finding in findings if finding.kind == kind] for kind in (*HARM, "whole")}
    print(markdown(["Kind", *HEADS], [[kind, *counted(group)] for kind, group in kinds.items()]))
    harmed = [finding for finding in findings if finding.kind != "whole"]
    codecs = {codec: [finding for finding in harmed if finding.codec == codec] for codec in CODECS}
    print("\n" + markdown(["Codec", *HEADS], [[codec, *counted(group)] for codec, group in codecs.items()]))
    results = {
        "versions": versions(),
        "count": options.count,
        "seed": options.seed,
        "by_kind": {kind: dict(zip(HEADS, counted(group), strict=True)) for kind, group in kinds.items()},
        "by_codec": {codec: dict(zip(HEADS, counted(group), strict=True)) for codec, group in codecs.items()},
        "not_told": [asdict(finding) for finding in harmed if finding.complaint and not finding.told],
        "wrongly_told": [asdict(finding) for finding in kinds["whole"] if finding.told or finding.wrong],
    }
    print(f"\nwrote {save('decoding_damage', results)}")


if __name__ == "__main__":
    main()
