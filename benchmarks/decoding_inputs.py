"""Which kinds of video files are decoded right, by decord, by PyAV and by "auto", compared with the ffmpeg program.

Renders every case of decoding_cases.py into a temporary folder, decodes it, and prints a table; JSON goes to
benchmarks/results/decoding_inputs.json. Usage: python benchmarks/decoding_inputs.py [--only TEXT ...]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from decoding import Outcome, Picture, Truth, by_ffmpeg, by_pool, difference, markdown, versions, without_addresses
from decoding_cases import CASES, Case
from machine import save
from tqdm import tqdm

from lcdc_extract.config import Decoder
from lcdc_extract.video import what_is_wrong

DECODERS: tuple[Decoder, ...] = ("decord", "av", "auto")
LATE_SECONDS = 0.0011
"""Times that are off by more are wrong: Matroska, FLV and others round to milliseconds, at both ends."""

SOUND_SECONDS = 0.03
"""A sound track begins up to this much before its first sample is heard."""

LONGEST = 110
"""Characters of a reason in the table."""

_DISTRUST = "decord cannot be trusted with this file: "

NAMES = {"": "", "av": "PyAV", "decord": "decord"}


@dataclass(frozen=True)
class Verdict:
    """What one decoder made of one file."""

    verdict: str
    """One of VERDICTS."""
    words: str
    decoder: str = ""
    decoder_reason: str = ""
    frames: int = 0
    notes: tuple[str, ...] = ()


VERDICTS = {
    "right": "every frame and every time is right",
    "colours": "as right, but YUV becomes RGB in another way",
    "refused": "a good file is refused",
    "wrong": "a frame or a time is wrong, or something right is called damaged",
    "told": "no whole video, and the user hears it",
    "not told": "no whole video, and nobody says so",
}


def truth_of(case: Case, path: Path) -> Truth:
    """What should be found, from the ffmpeg program and the recipe."""
    parts = [by_ffmpeg(path.parent / part) for part in case.parts] or [by_ffmpeg(path)]
    pictures = [picture for part in parts for picture in part.pictures]
    if case.seconds:
        seconds = np.array(case.seconds)
    elif case.rate:
        seconds = np.arange(len(pictures)) / float(case.rate)
    else:
        seconds = np.concatenate([part.seconds for part in parts])
    complaints = "" if case.parts else parts[0].complaints  # where parts are joined, the ffmpeg program misses a clock
    return Truth(pictures, seconds, complaints)


def judge(case: Case, truth: Truth, found: Outcome) -> Verdict:
    """Compares what was found with what is true."""
    if found.refused or found.info is None:
        return Verdict("told" if case.broken else "refused", f"refused: {_short(found.refused)}")
    verdict, words = _of_broken(truth, found) if case.broken else _of_whole(case, truth, found)
    return Verdict(
        verdict,
        words,
        decoder=found.info.decoder,
        decoder_reason=without_addresses(found.info.decoder_reason),
        frames=len(found.pictures),
        notes=(*found.info.notes, *found.condition.notes),
    )


def _of_broken(truth: Truth, found: Outcome) -> tuple[str, str]:
    """Verdict and words for a file that is no whole video."""
    words = [_short(_said(found))] if found.told else ["not told"]
    places = [int(np.abs(truth.seconds - seconds).argmin()) for seconds in found.seconds] if len(truth.seconds) else []
    missed = [
        place
        for picture, place, damaged in zip(found.pictures, places, found.damaged, strict=False)
        if not damaged and not _nearest(picture, truth, place)
    ]
    if missed:
        words.append(f"{len(missed)} unmarked frames are not those of their time")
    return "told" if found.told else "not told", "; ".join(words)


def _of_whole(case: Case, truth: Truth, found: Outcome) -> tuple[str, str]:
    """Verdict and words for a good file, or one that is as good as the ffmpeg program says."""
    faults = [*_wrong_times(case, truth, found)]
    far = [difference(*pair) for pair in zip(found.pictures, truth.pictures, strict=False)]
    if wrong := sum(off > 0 and not _nearest(found.pictures[place], truth, place) for place, off in enumerate(far)):
        faults.append(f"{wrong} of {len(far)} frames are wrong")
    if found.told and not truth.complaints:
        faults.append(f"told of damage: {_short(_said(found))}")
    if faults:
        return "wrong", "; ".join(faults)
    return ("colours", f"colours differ by {np.mean(far):.1f}") if any(far) else ("right", "right")


def _wrong_times(case: Case, truth: Truth, found: Outcome) -> Iterator[str]:
    if len(found.pictures) != len(truth.pictures):
        yield f"{len(found.pictures)} frames instead of {len(truth.pictures)}"
    elif (off := np.abs(found.seconds - truth.seconds).max()) > LATE_SECONDS:
        yield f"times off by up to {off:.3f} s"
    if case.starts is not None and abs(found.condition.start_seconds - case.starts) > SOUND_SECONDS:
        yield f"starts at {found.condition.start_seconds:.3f} s instead of {case.starts:g} s"


def _nearest(picture: Picture, truth: Truth, place: int) -> bool:
    """Whether a picture is nearer to the right one than to any other."""
    far = [difference(picture, right) for right in truth.pictures]
    return far[place] == min(far) < float("inf")


def _said(found: Outcome) -> str:
    return what_is_wrong(found.condition, sum(found.damaged))


def _short(text: str) -> str:
    text = without_addresses(text).removeprefix(_DISTRUST)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def run(cases: Sequence[Case], folder: Path) -> dict[str, dict[str, Verdict]]:
    """Verdicts by case and decoder."""
    paths, truths = {}, {}
    for number, case in enumerate(tqdm(cases, desc="rendering")):
        home = folder / str(number)
        home.mkdir()
        paths[case.name] = case.make(home)
        truths[case.name] = truth_of(case, paths[case.name])
    verdicts: dict[str, dict[str, Verdict]] = {case.name: {} for case in cases}
    by_name = {case.name: case for case in cases}
    for decoder in DECODERS:
        for name, found in tqdm(by_pool(paths, decoder), desc=decoder, total=len(cases)):
            verdicts[name][decoder] = judge(by_name[name], truths[name], found)
    return verdicts


def table(cases: Sequence[Case], verdicts: dict[str, dict[str, Verdict]]) -> str:
    """One row for each case."""
    rows = []
    for case in cases:
        decord, pyav, auto = (verdicts[case.name][decoder] for decoder in DECODERS)
        taken = auto.decoder.split()[0] if auto.decoder else ""
        why = f" ({_short(auto.decoder_reason)})" if auto.decoder_reason else ""
        rows.append([case.name, decord.words, pyav.words, f"{auto.words}, {NAMES[taken]}{why}".strip(", "), case.known])
    return markdown(["Input", "decord", "PyAV", '"auto"', "How the right value is known"], rows)


def results(cases: Sequence[Case], verdicts: dict[str, dict[str, Verdict]]) -> dict[str, Any]:
    """For the JSON file."""
    rows = [
        {"name": case.name, "recipe": case.recipe, "known": case.known}
        | {decoder: asdict(verdict) for decoder, verdict in verdicts[case.name].items()}
        for case in cases
    ]
    return {"versions": versions(), "counts": counts(verdicts), "cases": rows}


def counts(verdicts: dict[str, dict[str, Verdict]]) -> dict[str, Counter[str]]:
    """How many files there are of each verdict, by decoder."""
    return {decoder: Counter(by[decoder].verdict for by in verdicts.values()) for decoder in DECODERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", metavar="TEXT", help="cases with one of these in their name; writes no JSON"
    )
    options = parser.parse_args()
    cases = [case for case in CASES if any(text in case.name for text in options.only or [""])]
    if not cases:
        parser.error(f"no case has {' or '.join(options.only)} in its name; they are in decoding_cases.py")
    with TemporaryDirectory() as folder:
        verdicts = run(cases, Path(folder))
    print(table(cases, verdicts))
    number = counts(verdicts)
    rows = [[verdict, meaning, *(number[name][verdict] for name in DECODERS)] for verdict, meaning in VERDICTS.items()]
    print("\n" + markdown(["Verdict", "Meaning", *DECODERS], rows))
    if not options.only:
        print(f"\nwrote {save('decoding_inputs', results(cases, verdicts))}")


if __name__ == "__main__":
    main()
