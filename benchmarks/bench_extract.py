"""Speed and memory of the main job, as ratios inside one run.

    python benchmarks/bench_extract.py [streaming] [overlap] [memory]

streaming: the streaming head against the network snippet by snippet, stride 1, float32, interleaved.
overlap:   the whole command, from the start of the interpreter on, against the slower of decoding alone and network
           alone (measured before and after), on one rendered video; and what it costs to read all packets first.
memory:    peak memory of the whole command, decoders included, for 2,000 and 20,000 frames. The frame encoder, which
           has no memory, is replaced by an average pooling with outputs of the same shapes, so that it takes minutes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from machine import save
from rich.console import Console
from rich.table import Table

from lcdc_extract import Extractor
from lcdc_extract.config import PAPER, Sampling
from lcdc_extract.network.feature_stream import FeatureStream
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.network.streaming import HeadTaps
from lcdc_extract.video import DecoderPool, FrameChunk, VideoSource
from lcdc_extract.video.container import read_container

COMMAND = "from lcdc_extract.cli import main; main()"
LIGHT_COMMAND = (
    """
from torch.nn.functional import adaptive_avg_pool2d as pool
from lcdc_extract.network.encoder import EncodedFrames, FrameEncoder
def forward(self, x):
    small = pool(x, 14)
    return EncodedFrames(small[:, :1].expand(-1, 256, -1, -1), small[:, :1].expand(-1, 6, -1, -1).float())
FrameEncoder.forward = forward
"""
    + COMMAND
)
CHUNK = 16
TARGETS = {
    "times_faster": "at least 12",
    "relative_l2": "at most 1e-5",
    "command_over_slower": "at most 1.10",
    "packets_over_command": "at most 0.02",
    "growth_mib": "at most 64",
}
"""By measure; shown beside what was measured."""


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds and result."""
    started = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - started, result


@torch.inference_mode()
def streaming(rounds: int = 5) -> dict[str, Any]:
    """One chunk of 16 frames through the stream, and one snippet through the whole network, in turns."""
    network = LCDC(PAPER)
    for name, parameter in network.named_parameters():
        if "_offset" in name:
            torch.nn.init.normal_(parameter, std=0.02)  # zero offsets would hide the motion path
    network = network.for_extraction(torch.device("cpu"), torch.float32)
    frames = 60 * torch.randn(CHUNK * (rounds + 2), 3, 224, 224)
    stream = FeatureStream(HeadTaps(network.head), Sampling())
    chunk_seconds, snippet_seconds, rows, windows = [], [], [], []
    for turn in range(rounds + 2):
        chunk = frames[turn * CHUNK : (turn + 1) * CHUNK]
        seconds, new = timed(lambda frames: stream.push(network.encoder(frames)), chunk)
        rows.append(new.features)
        if turn >= 2:  # the first two fill the state and warm up
            chunk_seconds.append(seconds / CHUNK)
            start = turn * CHUNK - CHUNK
            seconds, window = timed(network, frames[start : start + CHUNK][None])
            snippet_seconds.append(seconds)
            windows.append((start + CHUNK // 2, window))
    found = torch.cat(rows)
    expected = torch.cat([window for _, window in windows])
    error = (found[[row for row, _ in windows]] - expected).norm() / expected.norm()
    per_frame, per_snippet = statistics.median(chunk_seconds), statistics.median(snippet_seconds)
    return {
        "streaming_ms_per_frame": 1000 * per_frame,
        "snippet_ms_per_frame": 1000 * per_snippet,
        "times_faster": per_snippet / per_frame,
        "relative_l2": float(error),
    }


def overlap(frames: int = 600) -> dict[str, Any]:
    """Whole command, decoding alone, network alone; all on the same video."""
    with tempfile.TemporaryDirectory() as folder:
        clip = render(Path(folder) / "clip.mp4", frames)
        packets, _ = timed(read_container, clip)
        decoding, _ = timed(lambda: decode(clip))
        before, _ = timed(lambda: run_network(frames))
        out = Path(folder) / "f.h5"
        command, _ = timed(lambda: subprocess.run(command_for(clip, out), check=True, capture_output=True))
        after, _ = timed(lambda: run_network(frames))
    network = (before + after) / 2
    return {
        "frames": frames,
        "packets_seconds": packets,
        "decoding_seconds": decoding,
        "network_seconds": [before, after],
        "command_seconds": command,
        "command_over_slower": command / max(decoding, network),
        "packets_over_command": packets / command,
    }


def memory(counts: tuple[int, int] = (2000, 20000)) -> dict[str, Any]:
    """Largest resident memory of the command and its decoders, sampled twice a second."""
    peaks = {}
    for frames in counts:
        with tempfile.TemporaryDirectory() as folder:
            clip = render(Path(folder) / "clip.mp4", frames)
            command = command_for(clip, Path(folder) / "f.h5", LIGHT_COMMAND)
            peaks[frames] = peak_mib(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    return {"peak_mib": peaks, "growth_mib": peaks[counts[1]] - peaks[counts[0]], "encoder": "average pooling"}


def render(path: Path, frames: int) -> Path:
    """A 320x240 H.264 video with a moving texture."""
    y, x = np.mgrid[0:240, 0:320]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(frames):
            waves = 128 + 60 * np.sin((x + 3 * number) / 17) + 60 * np.sin((y - 2 * number) / 11)
            picture = np.repeat(waves.astype(np.uint8)[:, :, None], 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def decode(clip: Path) -> None:
    """Everything the decoders do, and nothing else."""
    with DecoderPool([VideoSource("clip", clip)]) as pool:
        for event in pool:
            if isinstance(event, FrameChunk):
                event.release()


def run_network(frames: int) -> None:
    """Everything the network does, with the frames already in memory."""
    stream = Extractor("untrained", device="cpu", batch_size=CHUNK).stream()
    batch = np.random.default_rng(0).integers(0, 256, (CHUNK, 240, 320, 3), dtype=np.uint8)
    for begin in range(0, frames, CHUNK):
        stream.push(batch[: frames - begin])
    stream.finish()


def command_for(clip: Path, out: Path, code: str = COMMAND) -> list[str]:
    """The whole command."""
    return [sys.executable, "-c", code, str(clip), "--out", str(out), "--weights", "untrained", "--device", "cpu"]


def peak_mib(process: subprocess.Popen[bytes]) -> float:
    """Largest sum of the resident memory of a process and its children, until it ends."""
    peak = 0.0
    while process.poll() is None:
        time.sleep(0.5)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        try:
            pids = [process.pid, *map(int, children.read_text().split())]
            peak = max(peak, sum(resident_mib(pid) for pid in pids))
        except FileNotFoundError:
            break
    if process.wait():
        raise RuntimeError(f"the command failed with exit code {process.returncode}")
    return peak


def resident_mib(pid: int) -> float:
    """Resident memory of one process; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def main() -> None:
    """Runs the parts named on the command line, or all, and prints a table."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {"streaming": streaming, "overlap": overlap, "memory": memory}
    for name in sys.argv[1:] or parts:
        results = parts[name]()
        table = Table("measure", "value", "target", title=name, title_justify="left")
        for measure, value in results.items():
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            table.add_row(measure, shown, TARGETS.get(measure, ""))
        Console().print(table)
        print("written to", save(f"extract_{name}", results).relative_to(Path(__file__).parents[1]))


if __name__ == "__main__":
    main()
