"""Frames in memory: the same rows as from files, and as the network gives snippet by snippet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from lcdc_extract import ExtractConfig, Extractor, extract, open_features
from lcdc_extract.config import PreprocessConfig
from lcdc_extract.errors import ConfigError, FrameError, VideoError
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.weights.file import load_weights
from tests.clips import draw_frame
from tests.network.random_networks import relative_l2

FRAMES = np.stack([draw_frame(number) for number in range(21)])


@pytest.fixture(scope="module")
def extractor(weights_file: Path) -> Extractor:
    return Extractor(weights_file, batch_size=7)


def by_snippet(weights: Path, centres: list[int]) -> torch.Tensor:
    """fc_new_2 of whole windows around frames, by the network that knows nothing of streaming."""
    frames = preprocess(torch.from_numpy(FRAMES), PreprocessConfig(), torch.float32)
    with torch.inference_mode():
        network = load_weights(weights).network
        return network(torch.stack([frames[centre - 8 : centre + 8] for centre in centres]))


def test_rows_are_the_networks(extractor: Extractor, weights_file: Path) -> None:
    features = extractor.features(FRAMES)
    assert features.shape == (21, 1024)
    assert features.dtype == np.dtype("float32")
    centres = [8, 10, 13]
    assert relative_l2(torch.from_numpy(features[centres]), by_snippet(weights_file, centres)) < 1e-5
    assert (features[:9] == features[0]).all()


def test_an_iterator_may_fill_the_same_memory_again(extractor: Extractor) -> None:
    def camera() -> Iterator[np.ndarray[Any, Any]]:
        buffer = np.empty_like(FRAMES[0])
        for frame in FRAMES:
            buffer[:] = frame
            yield buffer

    np.testing.assert_array_equal(extractor.features(camera()), extractor.features(FRAMES))


def test_files_give_the_same_rows(videos: Path, weights_file: Path, tmp_path: Path) -> None:
    clip, sampling = videos / "b.mkv", {"frame_step": 2, "stride": 3, "edges": "repeat-frame"}
    with av.open(str(clip)) as container:
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    extract(ExtractConfig((str(clip),), tmp_path / "f.h5", weights=str(weights_file), **sampling))
    with open_features(tmp_path / "f.h5") as file:
        expected = file["b"]
    stream = Extractor(weights_file, **sampling).stream()
    parts = [stream.push(pictures), stream.finish()]
    assert np.concatenate([part.frame_index for part in parts]).tolist() == expected.frame_index.tolist() == [0, 6, 12]
    assert np.concatenate([part.edge for part in parts]).tolist() == expected.edge.tolist()
    np.testing.assert_array_equal(np.concatenate([part.features for part in parts]), expected.features)


@pytest.mark.parametrize("edges", ["clamp", "repeat-frame"])
def test_a_row_comes_as_soon_as_it_is_certain(weights_file: Path, edges: Any) -> None:
    extractor = Extractor(weights_file, frame_step=2, edges=edges)
    stream = extractor.stream()
    assert stream.lag_frames == 14
    seen: list[tuple[int, int]] = []  # (frames pushed, frame of the row)
    for count, frame in enumerate([*FRAMES, *FRAMES], start=1):
        seen += [(count, row) for row in stream.push(frame).frame_index.tolist()]
    late = [(count, row) for count, row in seen if row > (16 if edges == "clamp" else 0)]
    assert late
    assert all(count - 1 == row + stream.lag_frames for count, row in late), "not earlier, not later"
    rest = stream.finish()
    assert [row for _, row in seen] + rest.frame_index.tolist() == list(range(0, 42, 2))
    assert rest.edge.all()


def test_released_alignment_repeats_rows(extractor: Extractor, weights_file: Path) -> None:
    released = Extractor(extractor.weights, stride=2, align="released")
    features = released.features(FRAMES)
    assert len(features) == 21 // 2
    assert (features[:4] == features[4]).all(), "4 copies of the first row, which shows frame 8"
    assert (features[7:] == features[6]).all(), "3 of the last"
    assert relative_l2(torch.from_numpy(features[[4, 6]]), by_snippet(weights_file, [8, 12])) < 1e-5
    with pytest.raises(ConfigError, match="cannot be streamed"):
        released.stream()
    with pytest.raises(VideoError, match="15 sampled frames"):
        released.features(FRAMES[:15])


def test_the_caller_keeps_its_settings_of_torch(extractor: Extractor) -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with extractor.running():
            assert not torch.backends.cuda.matmul.allow_tf32
            assert torch.is_inference_mode_enabled()
        assert torch.backends.cuda.matmul.allow_tf32
        assert not torch.is_inference_mode_enabled()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (FRAMES.astype(np.float32), r"found float32 of shape \(7, 48, 64, 3\); expected uint8"),
        (FRAMES[0], r"found an array of shape \(48, 64, 3\); expected \(T, H, W, 3\)"),
        (FRAMES[..., 0], r"found an array of shape \(21, 48, 64\)"),
        (np.moveaxis(FRAMES, 3, 1), r"found uint8 of shape \(7, 3, 48, 64\); expected uint8 \(H, W, 3\)"),
        ([FRAMES[0], FRAMES[1][:40]], r"shapes \(40, 64, 3\), \(48, 64, 3\); expected one size"),
        (FRAMES[:0], "there were no frames"),
        ([], "there were no frames"),
    ],
)
def test_frames_of_another_kind(extractor: Extractor, frames: Any, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        extractor.features(frames)


def test_a_stream_keeps_one_size(extractor: Extractor) -> None:
    stream = extractor.stream()
    stream.push(FRAMES[:2])
    with pytest.raises(FrameError, match=r"frame 2 has the shape \(40, 64, 3\), those before it \(48, 64, 3\)"):
        stream.push(FRAMES[2][:40])


def test_an_ended_stream_takes_no_more(extractor: Extractor) -> None:
    stream = extractor.stream()
    stream.push(FRAMES[:2])
    assert len(stream.finish()) == 2
    with pytest.raises(FrameError, match="has ended"):
        stream.push(FRAMES[2])
    with pytest.raises(FrameError, match="has ended"):
        stream.finish()


def test_any_view_of_frames_will_do(extractor: Extractor) -> None:
    """Read-only, mirrored, as OpenCV's colours come, and as torch has them."""
    few = FRAMES[:3].copy()
    few.flags.writeable = False
    expected = extractor.features(few)
    bgr = np.ascontiguousarray(few[..., ::-1])
    for same in (bgr[..., ::-1], torch.tensor(few), list(few), np.asfortranarray(few)):
        np.testing.assert_array_equal(extractor.features(same), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_step": 2.5}, "`frame_step` is 2.5; expected a whole number of at least 1"),
        ({"stride": True}, "`stride` is True"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"precision": "float64"}, "`precision` is 'float64'; expected one of float32, bfloat16, float16"),
        ({"preset": "breakfast"}, "`preset` is 'breakfast'; the presets are 50salads, gtea"),
    ],
)
def test_settings_are_checked_before_weights_are_loaded(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Extractor("there are no such weights", **options)
