"""Sets on disk: what is written, runs that go on, runs that refuse, and the command."""

from __future__ import annotations

import builtins
import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from lcdc_extract.errors import ConfigError, LcdcError, OutputError
from lcdc_extract.synth import videos, write
from lcdc_extract.synth.actions import CLASSES
from lcdc_extract.synth.encode import encode_mp4
from lcdc_extract.synth.videos import draw_video, render_video
from lcdc_extract.synth.write import SynthConfig, VideoRecord, bundles, write_set
from lcdc_extract.toolbox import app

CPU = torch.device("cpu")
PIXELS = 32


@pytest.fixture(autouse=True)
def short_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "SECONDS", (7.0, 9.0))


def make(out: Path, num_videos: int = 2, seed: int = 1, pixels: int = PIXELS) -> tuple[list[VideoRecord], list[str]]:
    """The records, and the videos reported in the order of their chunks."""
    reported: list[str] = []
    report = lambda event: reported.append(f"{event.video} {event.frames}")  # noqa: E731
    return write_set(out, SynthConfig(num_videos, seed, pixels), device=CPU, report=report), reported


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["synth", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def test_the_files(tmp_path: Path) -> None:
    out = tmp_path / "new" / "set"
    records, reported = make(out, 5)
    names = [f"synth-000{index}" for index in range(5)]
    parts = [f"{part}.split{split}.bundle" for part in ("train", "test") for split in (1, 2, 3, 4)]
    expected = {"mapping.txt", "synth.json"} | {f"splits/{part}" for part in parts}
    assert set(contents(out)) == expected | {f"videos/{n}.mp4" for n in names} | {f"groundTruth/{n}.txt" for n in names}
    mapping = "0 background\n1 cut\n2 stir\n3 peel\n4 pour\n5 place\n6 shake\n7 open_close\n8 spread\n"
    assert (out / "mapping.txt").read_text() == mapping
    assert (out / "splits/test.split1.bundle").read_text() == "synth-0000.txt\nsynth-0004.txt\n"
    assert (out / "splits/train.split1.bundle").read_text() == "synth-0001.txt\nsynth-0002.txt\nsynth-0003.txt\n"
    for index, record in enumerate(records):
        labels = draw_video(1, index).labels
        text = (out / "groundTruth" / f"{record.name}.txt").read_text()
        assert text == "".join(CLASSES[label] + "\n" for label in labels)
        assert record.frames == len(labels) == sum(record.class_frames.values())
    assert sum(int(line.split()[1]) for line in reported) == sum(record.frames for record in records)
    card = json.loads((out / "synth.json").read_text())
    assert {name: card[name] for name in ("schema", "seed", "size", "frames_per_second")} == {
        "schema": "lcdc-synth/1",
        "seed": 1,
        "size": PIXELS,
        "frames_per_second": 15.0,
    }
    assert set(card["versions"]) == {"lcdc_extract", "numpy", "torch", "av"}
    assert [(v["name"], v["frames"], v["segments"]) for v in card["videos"]] == [
        (record.name, record.frames, record.segments) for record in records
    ]


@pytest.mark.parametrize(("count", "splits"), [(2, 2), (3, 3), (4, 4), (11, 4)])
def test_every_video_is_tested_on_once(count: int, splits: int) -> None:
    names = [f"v{index}" for index in range(count)]
    files = bundles(names)
    assert len(files) == 2 * splits
    tested = []
    for split in range(1, splits + 1):
        train, test = (files[f"{part}.split{split}.bundle"].splitlines() for part in ("train", "test"))
        assert sorted(train + test) == sorted(f"{name}.txt" for name in names)
        assert train
        tested += test
    assert sorted(tested) == sorted(f"{name}.txt" for name in names)


def test_the_video_shows_what_was_drawn(tmp_path: Path) -> None:
    make(tmp_path, pixels=96)
    video = draw_video(1, 0)
    with av.open(str(tmp_path / "videos" / "synth-0000.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 15)
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    drawn = torch.cat(list(render_video(video, CPU, 96))).permute(0, 2, 3, 1).numpy()
    assert shown.shape == drawn.shape == (len(video), 96, 96, 3)
    grey = np.array([0.299, 0.587, 0.114])  # the colours are stored at half the size
    error = ((shown @ grey - drawn @ grey) ** 2).mean(axis=(1, 2))
    assert (10 * np.log10(255**2 / error)).min() > 38
    shifted = ((shown[1:] @ grey - drawn[:-1] @ grey) ** 2).mean(axis=(1, 2))
    assert np.mean(shifted > 2 * error[1:]) > 0.9


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for out in ("one", "two"):
        make(tmp_path / out)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    make(tmp_path / "three", seed=2)
    assert contents(tmp_path / "three")["groundTruth/synth-0000.txt"] not in contents(tmp_path / "one").values()


def test_a_set_grows_and_finished_videos_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "at-once", 4)
    make(tmp_path / "grown", 2)
    first = tmp_path / "grown" / "videos" / "synth-0000.mp4"
    before = first.stat().st_mtime_ns
    make(tmp_path / "grown", 4)
    assert first.stat().st_mtime_ns == before
    assert contents(tmp_path / "grown") == contents(tmp_path / "at-once")
    monkeypatch.setattr(write, "encode_mp4", None)  # nothing is left to encode
    _, reported = make(tmp_path / "grown", 4)
    assert len(reported) == 4
    with pytest.raises(OutputError, match=r"holds synth-0002.mp4, which is not one of the 2 videos asked for"):
        make(tmp_path / "grown", 2)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_stopped_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any) -> None:
    encode = encode_mp4

    def breaks_off(path: Path, chunks: Any, pixels: int, rate: float) -> None:
        if "0001" not in path.name:
            return encode(path, chunks, pixels, rate)
        path.write_bytes(b"half a video")
        raise stop

    monkeypatch.setattr(write, "encode_mp4", breaks_off)
    expected = KeyboardInterrupt if stop is KeyboardInterrupt else OutputError
    with pytest.raises(expected):
        make(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "videos").iterdir()] == ["synth-0000.mp4"]
    assert not list((tmp_path / "out" / "splits").iterdir())
    monkeypatch.setattr(write, "encode_mp4", encode)
    make(tmp_path / "out")
    make(tmp_path / "at-once")
    assert contents(tmp_path / "out") == contents(tmp_path / "at-once")


@pytest.mark.parametrize("replaced", range(9))
def test_a_growing_set_killed_among_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: int) -> None:
    """2 videos become 8; whichever of the 8 bundles is the last one written, the same command goes on."""
    names = [videos.video_name(index) for index in range(8)]
    for name, text in bundles(names[:2]).items():
        (tmp_path / name).write_text(text)
    written: list[Path] = []

    def killed(path: Path, text: str) -> None:
        if len(written) == replaced:
            raise KeyboardInterrupt
        written.append(path)
        path.write_text(text)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(write, "write_text", killed)
        write._write_splits(tmp_path, names)
    assert len(written) == replaced
    write._write_splits(tmp_path, names)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == bundles(names)


def test_what_a_killed_run_leaves_is_in_nobodys_way(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".lock", "synth.json.unfinished"):
        (out / name).write_text("half")
    make(out)
    (out / "videos" / "synth-0001.mp4").rename(out / "videos" / "synth-0001.mp4.unfinished")
    make(out)
    make(tmp_path / "at-once")
    assert contents(out) == contents(tmp_path / "at-once")


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_says_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, expected: int
) -> None:
    def interrupted(*arguments: object) -> None:
        assert signal.getsignal(sent) is not signal.SIG_DFL, "it would end the tests"
        signal.raise_signal(sent)

    monkeypatch.setattr(write, "encode_mp4", interrupted)
    code, output = run(tmp_path / "out", "--videos", 2, "--seed", 1, "--size", PIXELS, "--device", "cpu")
    assert code == expected
    assert "the same command continues" in output


def foreign_folder(out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("chapter 1")


def foreign_video(out: Path) -> None:
    make(out)
    (out / "videos" / "holiday.mp4").write_text("sea")


def changed_labels(out: Path) -> None:
    make(out)
    (out / "groundTruth" / "synth-0001.txt").write_text("mine\n")


def changed_splits(out: Path) -> None:
    make(out)
    (out / "splits" / "test.split2.bundle").write_text("mine\n")


def other_card(out: Path) -> None:
    out.mkdir()
    (out / "synth.json").write_text('{"name": "a synthesiser"}')


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (foreign_folder, "holds thesis.txt and no synth.json"),
        (foreign_video, "holds holiday.mp4"),
        (changed_labels, "synth-0001.txt is not what this version writes"),
        (changed_splits, "test.split2.bundle is not what this version writes"),
        (other_card, "is damaged or of another program"),
        (lambda out: make(out, seed=2), r"was made with seed 2; asked for: seed 1"),
        (lambda out: make(out, pixels=34), r"was made with size 34; asked for: size 32"),
        (lambda out: out.write_text("a file"), "is a file; expected a folder"),
    ],
)
def test_what_others_wrote_stays(tmp_path: Path, prepare: Any, message: str) -> None:
    prepare(tmp_path / "out")
    before = contents(tmp_path)
    with pytest.raises(LcdcError, match=message):
        make(tmp_path / "out")
    assert contents(tmp_path) == before


def test_two_runs_do_not_write_the_same_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(path: Path, *arguments: object) -> None:
        with pytest.raises(OutputError, match="another run is writing"):
            make(tmp_path)
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "encode_mp4", meanwhile)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((2.5, 1), "`videos` is 2.5; expected a whole number of at least 2"),
        ((True, 1), "`videos` is True; expected a whole number"),
        ((2, 1.0), "`seed` is 1.0; expected a whole number of at least 0"),
        ((2, 1, 64.0), "`size` is 64.0; expected a whole number of at least 32"),
        ((2, 1, 1026), "`size` is 1026; expected an even number from 32 to 1024"),
    ],
)
def test_only_whole_numbers_make_a_set(values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SynthConfig(*values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--videos", 1], "--videos is 1; expected a whole number of at least 2"),
        (["--seed", -3], "--seed is -3; expected a whole number of at least 0"),
        (["--size", 63], "--size is 63; expected an even number from 32 to 1024"),
        (["--size", 2048], "--size is 2048"),
        (["--device", "cuda:9"], "CUDA devices"),
        (["--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_bad_options_are_refused_before_any_work(tmp_path: Path, options: list[object], message: str) -> None:
    code, output = run(tmp_path / "out", "--videos", 2, "--seed", 1, "--size", PIXELS, *options)
    assert code == 2
    assert message in output
    assert not (tmp_path / "out").exists()


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    code, output = run(tmp_path / "out", "--videos", 2, "--seed", 1, "--device", "cpu")
    assert code == 2
    assert "pip install av" in output
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path: Path) -> None:
    code, output = run(tmp_path / "out", "--videos", 2, "--seed", 1, "--size", PIXELS, "--device", "cpu")
    assert code == 0
    frames = [len(draw_video(1, index)) for index in (0, 1)]
    segments = sum(draw_video(1, index).segments for index in (0, 1))
    assert f"2 videos, {sum(frames)} frames, {segments} segments" in output
    assert f"synth-0001: {frames[1]} frames" in output
    assert "open_close" in output
    assert f"next: lcdc-extract {tmp_path}/out/videos --out {tmp_path}/out/feats.h5" in output
