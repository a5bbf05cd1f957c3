"""The main job: videos in, one feature file out. Decoding, network and writing overlap.

decoders -> engine.feed -> rows -> sink.take -> parts -> store.publish -> one file
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lcdc_extract import ops
from lcdc_extract.config import ExtractConfig
from lcdc_extract.errors import OutputError
from lcdc_extract.features import FeatureStore, VideoFailed
from lcdc_extract.pipeline.engine import Engine, EngineOutput, FramesDone
from lcdc_extract.pipeline.events import (
    Progress,
    Reporter,
    RunStarted,
    RunSummary,
    VideoFinished,
    VideoStarted,
    silent,
)
from lcdc_extract.pipeline.prepare import Prepared, prepare, sampled_frames
from lcdc_extract.pipeline.record import made_by, run_record
from lcdc_extract.pipeline.sink import Sink
from lcdc_extract.video import DecoderPool, RefusedVideo, VideoOpened, VideoSource


def extract(config: ExtractConfig, report: Reporter = silent) -> RunSummary:
    """Writes the features of every video to `config.out`.

    A video that cannot be read is listed in the summary and in the file; the others go on. Videos that the output
    already holds, from an earlier run of the same settings, are skipped.

    Args:
        report: called with each event of `pipeline.events` as it happens.

    Returns:
        What was done. `summary.ok` is false when a video failed.

    Raises:
        LcdcError: nothing could be started, or the output cannot be written; finished videos are kept.
        KeyboardInterrupt: stopped from outside; finished videos are kept.
    """
    started = time.monotonic()
    prepared = prepare(config)
    with _disk_errors(config.out), FeatureStore(config.out, run_record(prepared), overwrite=config.overwrite) as store:
        finished = store.finished()
        todo = prepared.unfinished(finished)
        skipped = tuple(part.id for part in prepared.wanted if part.id in finished)
        incomplete_before = tuple(name for name in skipped if finished[name]["incomplete"])
        left = len(prepared.wanted) - len(skipped) + len(prepared.refused)
        started_with = _started(prepared, left, len(todo) + len(prepared.refused), len(skipped))
        report(replace(started_with, damaged=tuple(store.damaged)))
        run = _Run(prepared, report)
        run.refuse(prepared.refused)
        if todo:
            run.work(todo, store)
        changed = todo or run.failures or store.has_parts()
        held = store.publish(run.failures) if changed else len(store.finished())
    seconds = time.monotonic() - started
    summary = RunSummary(
        out=config.out,
        finished=tuple(run.finished),
        already_finished=skipped,
        incomplete_before=incomplete_before,
        failures=tuple(run.failures),
        videos_in_file=held,
        frames=run.frames,
        seconds=seconds,
    )
    report(summary)
    return summary


class _Run:
    """What a run has done so far."""

    def __init__(self, prepared: Prepared, report: Reporter) -> None:
        self.finished: list[VideoFinished] = []
        self.failures: list[VideoFailed] = []
        self.frames = 0
        self._prepared, self._report = prepared, report

    def refuse(self, videos: Iterable[RefusedVideo]) -> None:
        """Counts videos that cannot be taken among the failures."""
        for video in videos:
            self._add(VideoFailed(video.id, str(video.path), video.reason))

    def work(self, todo: list[VideoSource], store: FeatureStore) -> None:
        """Takes every video of `todo` to a finished part or a failure."""
        config, sampling = self._prepared.config, self._prepared.sampling
        engine = Engine(self._prepared.extractor(), config.part_edges)
        pool = DecoderPool(
            todo,
            self._prepared.reading,
            decoders=config.decoders,
            timeout_seconds=config.decode_timeout_seconds,
        )
        with Sink(store, made_by(self._prepared), config.precision) as sink, pool:
            for event in pool:
                if isinstance(event, VideoOpened):
                    frames = [sampled_frames(event.info, sampling, part) for part in event.source.wanted]
                    expected = None if None in frames else sum(count or 0 for count in frames)
                    self._report(VideoStarted(event.source.id, expected))
                self._pass_on(engine.feed(event), sink)
                self._note(sink.poll())
            self._note(sink.drain())

    def _pass_on(self, outputs: Iterator[EngineOutput], sink: Sink) -> None:
        for output in outputs:
            if isinstance(output, FramesDone):
                self.frames += output.frames
                self._report(Progress(output.video.id, output.frames))
            sink.take(output)

    def _note(self, over: Iterator[VideoFinished | VideoFailed]) -> None:
        for video in over:
            self._add(video)

    def _add(self, video: VideoFinished | VideoFailed) -> None:
        if isinstance(video, VideoFailed):
            self.failures.append(video)
        else:
            self.finished.append(video)
        self._report(video)


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    """A full or failing disk becomes an error that says what is kept.

    Raises:
        OutputError: instead of the system's own.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read our events is gone; no disk is to blame
    except OSError as error:
        raise OutputError(
            f"writing {out} failed: {error}. Finished videos are kept: make room, or repair the disk, and give "
            "the same command again."
        ) from error


def _started(prepared: Prepared, wanted: int, files: int, already_finished: int) -> RunStarted:
    return RunStarted(
        videos=wanted,
        files=files,
        already_finished=already_finished,
        weights=prepared.weights.name,
        trained=prepared.weights.info.trained,
        device=str(prepared.device),
        precision=prepared.config.precision,
        operator=ops.implementation(str(prepared.device)),
        frame_step=prepared.sampling.frame_step,
        fps=prepared.sampling.fps,
        stride=prepared.sampling.stride,
        skipped=prepared.skipped,
    )
