"""Sounds that come as base64 in JSON, decoded within limits and brought to the model's rate.

libsndfile reads WAV (PCM, float, A-law, u-law, ADPCM), FLAC, Ogg (Vorbis, Opus), MP3, AIFF, CAF and AU;
whatever else there is, ffmpeg reads, where the worker's extra `ffmpeg` is installed. Both decode block by
block, so that what a header says decides nothing: the limits count what comes out.
"""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import soundfile
import soxr

from contract.errors import BadItem
from worker.models import media
from worker.models.sounds import ffmpeg
from worker.models.sounds.recording import Recording, Samples

MAX_SECONDS = 30 * 60
MAX_DECODED = 2**28
"""Samples of all channels together, 1 GiB as they are decoded: half an hour of 48 kHz in 3 channels."""
RATES = 4_000, 192_000
"""Samples a second. Below, a small file would be hours once it is brought to the model's rate."""
BLOCK = 2**18
"""Samples that are decoded at once."""
UNKNOWN = 2**62
"""libsndfile counts as many frames, or more, in a stream whose header does not say how many it has."""


class Straight(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its beginning to its end.

    Where it may seek, soundfile does so after every block, and fails at the end of a FLAC whose header
    does not know its length.
    """

    def seekable(self) -> bool:
        return False


def decode_sound(text: Any, rate: int) -> Samples:
    """The sound in a base64 string, from -1 to 1, mixed to one channel, at `rate` per second.

    Raises:
        BadItem: no sound that can be read, or more than the limits.
    """
    data = media.decode_base64(text)
    try:
        with _opened(data) as recording:
            return _gathered(recording, rate)
    except BadItem:
        raise
    except Exception as error:  # decoders raise almost anything on a broken file
        raise BadItem(f"The sound is broken: {media.decoding_error(error)}") from None


def _gathered(recording: Recording, rate: int) -> Samples:
    if not RATES[0] <= recording.rate <= RATES[1]:
        raise BadItem(
            f"The sound has {recording.rate} samples a second; {RATES[0]} to {RATES[1]} are read"
        )
    _within(recording, recording.frames or 0)
    same = recording.rate == rate
    resampler = None if same else soxr.ResampleStream(recording.rate, rate, 1, dtype="float32")
    pieces: list[Samples] = []
    frames = 0
    for block in recording.blocks:
        frames += len(block)
        _within(recording, frames)
        mono = block.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise BadItem("The sound has samples that are no numbers")
        pieces.append(resampler.resample_chunk(mono) if resampler else mono)
    if not frames:
        raise BadItem("The sound has no samples")
    if resampler:
        pieces.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    found = np.concatenate(pieces)
    if not len(found):
        raise BadItem("The sound is too short")
    return found


def _within(recording: Recording, frames: int) -> None:
    """Raises BadItem if so many frames are more than what is read."""
    if frames > MAX_SECONDS * recording.rate:
        raise BadItem(f"The sound is longer than {MAX_SECONDS} seconds")
    if frames * recording.channels > MAX_DECODED:
        raise BadItem(
            f"The sound has more than {MAX_DECODED:,} samples in its {recording.channels} channels"
        )


def _opened(data: bytes) -> AbstractContextManager[Recording]:
    if _by_libsndfile(data):
        data = _with_size(data)
        try:
            return _read(Straight(io.BytesIO(data)))
        except soundfile.LibsndfileError as error:
            if not ffmpeg.find_demuxer(data) or not ffmpeg.is_installed():
                raise BadItem(
                    f"The sound cannot be read: {media.decoding_error(error)}; convert it, for example to PCM "
                    "in a WAV"
                ) from None
    return ffmpeg.open_recording(data)


@contextmanager
def _read(file: Any) -> Iterator[Recording]:
    with file:
        frames = file.frames if file.frames < UNKNOWN else None
        yield Recording(file.samplerate, file.channels, frames, _blocks(file))


def _blocks(file: Any) -> Iterator[Any]:
    size = max(1, BLOCK // file.channels)
    while len(block := file.read(size, dtype="float32", always_2d=True)):
        yield block


def _by_libsndfile(data: bytes) -> bool:
    """Whether the file begins like one of the kinds that libsndfile is used for; it knows stranger ones."""
    if data[:4] == b"RIFF" and data[8:12] != b"WAVE":
        return False
    if data[:4] in (
        b"RIFF",
        b"RIFX",
        b"RF64",
        b"riff",
        b"fLaC",
        b"OggS",
        b"FORM",
        b"caff",
        b".snd",
    ):
        return True
    # MPEG audio: eleven bits of synchronisation, then a layer, which AAC leaves at 0
    return data[:3] == b"ID3" or (data[:1] == b"\xff" and data[1:2] > b"\xe0" and data[1] & 6 > 0)


def _with_size(data: bytes) -> bytes:
    """A WAV whose header was written before its samples, and says 0 bytes of them, with their number.

    libsndfile reads to the end itself where the header says 0xFFFFFFFF.
    """
    if data[:4] != b"RIFF":
        return data
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            rest = len(data) - at - 8
            known = data[: at + 4] + rest.to_bytes(4, "little") + data[at + 8 :]
            return known if size == 0 else data
        at += 8 + size + size % 2
    return data
