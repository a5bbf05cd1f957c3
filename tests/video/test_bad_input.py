"""Files that are no video, or only part of one: each has a reason a person can act on; none gives copied frames."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lcdc_extract.video import DecodingFailed, Reading, VideoEnded, VideoSource, probe
from tests.clips import draw_frame, read_number, render_audio, render_clip
from tests.video.reference import decode, decode_with_ffmpeg, failure, run, source

both_decoders = pytest.mark.parametrize("decoder", ["decord", "av"])


def overwrite(path: Path, start: float, length: int) -> Path:
    """Fills `length` bytes with noise, from `start` of the way through the file."""
    data = bytearray(path.read_bytes())
    first = int(len(data) * start)
    data[first : first + length] = np.random.default_rng(0).bytes(length)
    path.write_bytes(data)
    return path


@both_decoders
def test_audio_file(decoder: str, tmp_path: Path) -> None:
    assert failure(render_audio(tmp_path / "a.m4a"), decoder=decoder).startswith("the file holds no video stream")


def test_codec_that_only_one_decoder_knows_is_not_called_an_audio_file(tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4", codec="libsvtav1", b_frames=0)
    assert failure(path, decoder="decord") == "decord cannot open the file. `decoder='auto'` lets PyAV read it"
    found = decode(path)
    assert [read_number(picture) for picture in found.rgb] == list(range(30))
    assert found.opened.info.decoder_reason == "the codec is av1"


@both_decoders
def test_empty_file(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    assert failure(path, decoder=decoder) == "the file is empty (0 bytes); copy it again"


@both_decoders
@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv"])
def test_random_bytes(name: str, decoder: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    reason = failure(path, decoder=decoder)
    assert "not recognised as a video" in reason
    assert "ffmpeg -i IN OUT.mp4" in reason


@both_decoders
def test_mp4_cut_off_before_its_index(decoder: str, tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 100])
    reason = failure(path, decoder=decoder)
    assert "cut off" in reason
    assert "moov" in reason
    assert reason.endswith("Copy it again")


@both_decoders
def test_file_that_vanished(decoder: str, tmp_path: Path) -> None:
    assert failure(tmp_path / "gone.mp4", decoder=decoder) == "the file is no longer there"


def cut_in_the_data(path: Path) -> Path:
    """An MP4 whose index comes first and announces 60 frames, while the data breaks off after about 36."""
    render_clip(path, num_frames=60, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    start = data.index(b"mdat")
    path.write_bytes(data[: start + int((len(data) - start) * 0.6)])
    return path


def test_mp4_cut_off_in_its_data_fails_with_decord(tmp_path: Path) -> None:
    reason = failure(cut_in_the_data(tmp_path / "a.mp4"), decoder="decord")
    assert "the file is cut off: the header announces 60 frames, the file holds 37" in reason
    assert "`decoder='auto'` lets PyAV read it" in reason


def test_mp4_cut_off_in_its_data_is_salvaged_and_told(tmp_path: Path) -> None:
    found = decode(cut_in_the_data(tmp_path / "a.mp4"))
    numbers = [read_number(picture) for picture in found.rgb]
    assert numbers == list(range(len(numbers)))
    assert 30 <= len(numbers) < 40
    assert found.ended.counts.frames_decoded == len(numbers)
    assert found.ended.condition.incomplete
    assert found.ended.condition.cut_off == "the header announces 60 frames, the file holds 37"
    assert found.opened.info.decoder_reason.startswith("the file is cut off")


def test_damage_may_be_a_failure(tmp_path: Path) -> None:
    reason = failure(cut_in_the_data(tmp_path / "a.mp4"), on_damage="fail")
    assert reason.startswith("the file is cut off: the header announces 60 frames, the file holds 37")
    assert reason.endswith("marked row by row: `on_damage='mark'`")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_damage_in_the_middle(codec: str, tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4", codec=codec, num_frames=60, container_options={"movflags": "faststart"})
    whole, _ = decode_with_ffmpeg(path)
    overwrite(path, 0.5, 600)
    assert "Invalid NAL unit size" in failure(path, decoder="decord")
    found = decode(path)
    assert 40 <= found.ended.counts.frames_decoded <= 60
    assert found.ended.condition.frames_lost == 60 - found.ended.counts.frames_decoded
    assert found.ended.counts.frames_damaged == found.damaged.sum()
    assert np.all(np.diff(found.times) >= 0)
    place = np.rint((found.times + found.ended.condition.start_seconds) * 25).astype(int)
    right = np.array([np.array_equal(rgb, whole[at]) for rgb, at in zip(found.rgb, place, strict=True)])
    assert right[~found.damaged].all(), "frames that are not marked are those of the whole file, at their own time"
    assert found.ended.condition.incomplete


def test_decord_alone_would_hand_out_copies_and_we_do_not(tmp_path: Path) -> None:
    """decord looks for the first frame of a transport stream and lands on a later one; then it runs out of pictures."""
    path = render_clip(tmp_path / "a.ts", num_frames=30, gop=12)
    reason = failure(path, decoder="decord")
    assert reason == "decord finds only 18 pictures in 30 packets. `decoder='auto'` lets PyAV read it"
    assert [read_number(picture) for picture in decode(path).rgb] == list(range(30))

    script = (
        "import sys, decord; from tests.clips import read_number; "
        "reader = decord.VideoReader(sys.argv[1], fault_tol=0); "
        "print([read_number(reader.next().asnumpy()) for _ in range(30)][-3:])"
    )
    alone = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert alone.stdout.strip() == "[29, 29, 29]", "if this fails, decord has improved: fault_tol=0 gave copies"


def test_header_that_announces_more_frames_than_there_are(tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.avi", codec="mpeg4", b_frames=0)
    data = bytearray(path.read_bytes())
    for place in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):
        assert int.from_bytes(data[place : place + 4], "little") == 30
        data[place : place + 4] = (500).to_bytes(4, "little")
    path.write_bytes(data)
    found = decode(path)
    assert [read_number(picture) for picture in found.rgb] == list(range(30))
    assert found.ended.counts.frames_decoded == 30
    assert found.ended.condition.cut_off == "the header announces 500 frames, the file holds 30"


@both_decoders
def test_no_frame_can_be_decoded(decoder: str, tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4", num_frames=3, container_options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    assert "no frame could be decoded from 3 packets of h264 (h264: Invalid NAL unit size" in failure(
        path, decoder=decoder
    )


def test_changing_frame_size(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    sizes = [(64, 48)] * 10 + [(96, 64)] * 5 + [(32, 24)] * 5
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, size in enumerate(sizes):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuvj420p", Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(draw_frame(number, *size), format="rgb24").reformat(format="yuvj420p")
            frame.pts = number
            for packet in encoder.encode(frame):
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                container.mux(packet)
    assert "the frame size changes near frame" in failure(path, decoder="decord")
    *chunks, ended = list(run([source(path)]))[1:]
    pictures = [picture for chunk in chunks for picture in chunk[0]]
    assert [picture.shape[1::-1] for picture in pictures] == sizes, "each frame has its own size"
    for number, (picture, size) in enumerate(zip(pictures, sizes, strict=True)):
        assert np.abs(picture.astype(float) - draw_frame(number, *size)).mean() < 25
    assert ended.condition.notes == (
        "the frame size changes from 64x48 to 96x64 at frame 10",
        "the frame size changes from 96x64 to 32x24 at frame 15",
    )


@both_decoders
def test_more_frames_per_second_than_the_video_has(decoder: str, tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4")
    reason = failure(path, decoder=decoder, fps=30.0)
    assert reason.startswith("`fps=30` is more than the video's 25 frames per second")
    assert decode(path, decoder=decoder, fps=25.02).index.tolist() == list(range(30))


@both_decoders
def test_decoder_that_is_not_installed(decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{decoder}.py").write_text(f"raise ImportError('no {decoder} here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = render_clip(tmp_path / "a.mp4")
    assert f"cannot be loaded (no {decoder} here); `pip install {decoder}`" in failure(path, decoder=decoder)


def test_pyav_reads_videos_where_decord_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decord.py").write_text("raise ImportError('no decord here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = decode(render_clip(tmp_path / "a.mp4"))
    assert len(found.rgb) == 30
    assert "decord cannot be loaded" in found.opened.info.decoder_reason


@both_decoders
def test_one_bad_video_among_good_ones(decoder: str, tmp_path: Path) -> None:
    good = render_clip(tmp_path / "good.mp4")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    sources = [VideoSource(str(i), bad if i % 2 else good) for i in range(6)]
    last = [event for event in run(sources, decoder=decoder) if isinstance(event, VideoEnded | DecodingFailed)]
    assert {event.source.id: isinstance(event, VideoEnded) for event in last} == {str(i): i % 2 == 0 for i in range(6)}


@both_decoders
def test_probe_says_the_same(decoder: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.touch()
    found = probe([source(bad), source(render_clip(tmp_path / "good.mp4"))], Reading(decoder=decoder))
    assert list(found) == ["bad", "good"]
    assert found["bad"] == DecodingFailed(source(bad), "the file is empty (0 bytes); copy it again")
    assert not isinstance(found["good"], DecodingFailed)


def test_noise_of_native_code_stays_inside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    failure(overwrite(render_clip(tmp_path / "a.mp4", num_frames=60), 0.3, 600), decoder="decord")
    assert capfd.readouterr() == ("", "")
