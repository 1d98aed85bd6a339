"""What ffmpeg reads and libsndfile does not: M4A and MP4, WebM, AAC and others. An optional extra.

The demuxer is chosen here, by how the file begins: ffmpeg's own choice includes playlists, which open
addresses and paths.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from contract.errors import BadItem
from worker.models.sounds.recording import Recording

DEMUXERS: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"ftyp", "mov", "MP4 or M4A"),
    (4, b"moov", "mov", "MP4 or M4A"),
    (4, b"mdat", "mov", "MP4 or M4A"),
    (0, b"\x1aE\xdf\xa3", "matroska", "WebM or Matroska"),
    (0, b"\xff\xf1", "aac", "AAC"),
    (0, b"\xff\xf9", "aac", "AAC"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf", "WMA"),
    (0, b"#!AMR", "amr", "AMR"),
    (0, b"FLV\x01", "flv", "FLV"),
    (0, b"\x0bw", "ac3", "AC-3"),
    (8, b"AVI ", "avi", "AVI"),
    (8, b"WAVE", "wav", "WAV"),
    (0, b"OggS", "ogg", "Ogg"),
    (0, b"caff", "caf", "CAF"),
)
"""(where it says so, how it begins, its demuxer, what people call it)."""

KINDS = "WAV, FLAC, Ogg, MP3, AIFF, CAF, AU"


def find_demuxer(data: bytes) -> tuple[str, str] | None:
    """The demuxer for a file, and what people call its kind."""
    for at, mark, name, kind in DEMUXERS:
        if data[at : at + len(mark)] == mark:
            return name, kind
    return None


def is_installed() -> bool:
    return find_spec("av") is not None


@contextmanager
def open_recording(data: bytes) -> Iterator[Recording]:
    """The sound in a file.

    Raises:
        BadItem: it is of no kind that is read, ffmpeg is not installed, or there is no sound in it.
    """
    found = find_demuxer(data)
    if found is None:
        raise BadItem(f"The file is no sound that can be read: {KINDS}, or what ffmpeg reads")
    name, kind = found
    if not is_installed():
        raise BadItem(
            f"The sound is {kind}, which this worker reads once its extra is installed "
            f"(pip install 'soloist[ffmpeg]'); or convert it to one of {KINDS}"
        )
    import av

    with av.open(io.BytesIO(data), "r", format=name, metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise BadItem("There is no sound in the file")
        stream = container.streams.audio[0]
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        # no number of frames: ffmpeg guesses it where the file does not say
        yield Recording(rate, channels, None, _blocks(av, container, stream))


def _blocks(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    context = stream.codec_context
    planes = av.AudioResampler(format="fltp", layout=context.layout, rate=context.sample_rate)
    for frame in container.decode(stream):
        for plain in planes.resample(frame):
            yield np.ascontiguousarray(plain.to_ndarray().T)
    for plain in planes.resample(None):
        yield np.ascontiguousarray(plain.to_ndarray().T)
