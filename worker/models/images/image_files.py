"""Images that come as base64 in JSON, decoded within limits to what image processors read: RGB, 8 bits.

Pillow's own conversion cuts numbers above 255 to white. Here 16 bits are scaled as Pillow itself scales
them in colour (the upper byte), and what has no agreed white is refused.
"""

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from contract.errors import BadItem
from worker.models import media

MAX_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""The usual ones: each further decoder of Pillow is one more that strangers' bytes can attack."""
MAX_RATIO = 100
"""Of the sides: a line of pixels that is scaled up to a model's height would fill the memory."""

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF, https://www.loc.gov/preservation/digital/formats/content/tiff_tags.shtml."""
WHITE_IS_ZERO = 0
SIGNED = 2


def decode_image(text: Any) -> Image.Image:
    """The picture as RGB, turned upright as its EXIF says; the first frame of an animated one.

    An alpha channel is dropped and a colour profile is not applied, as transformers does it.

    Raises:
        BadItem: no image, a format not read, more than `MAX_PIXELS`, or numbers without a known white.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities in a stranger's file are not ours to log
            picture = Image.open(io.BytesIO(media.decode_base64(text)), formats=FORMATS)
            width, height = picture.size  # from the header: nothing is decompressed yet
            if width * height > MAX_PIXELS:
                raise BadItem(f"The image has {width} x {height} pixels; {MAX_PIXELS:,} are read")
            if max(width, height) > MAX_RATIO * min(width, height):
                raise BadItem(
                    f"The image has {width} x {height} pixels, which is too long a strip; one side is "
                    f"at most {MAX_RATIO} times the other"
                )
            tags = getattr(picture, "tag_v2", {})  # of a TIFF; gone once it is turned
            return _eight_bits(ImageOps.exif_transpose(picture), tags).convert("RGB")
    except BadItem:
        raise
    except Image.DecompressionBombError:
        raise BadItem(f"The image has too many pixels; {MAX_PIXELS:,} are read") from None
    except UnidentifiedImageError:
        names = ", ".join(FORMATS)
        raise BadItem(
            f"The file is no image that can be read: {names} with usual samples"
        ) from None
    except Exception as error:  # Pillow raises almost anything on a broken file
        raise BadItem(f"The image is broken: {media.decoding_error(error)}") from None


def _eight_bits(picture: Image.Image, tags: Any) -> Image.Image:
    """The picture with 8 bits a sample, where Pillow would cut and not scale."""
    if SIGNED in tags.get(SAMPLE_FORMAT, ()):
        raise BadItem("The image has signed samples, whose white is not known; save it unsigned")
    if picture.mode.startswith("I;16"):
        (bits,) = tags.get(BITS, (16,))  # 12 bits come as numbers up to 4095
        grey = (np.asarray(picture) >> (bits - 8)).astype(np.uint8)
    elif picture.mode == "I":
        raise BadItem("The image has 32 bits a sample, whose white is not known; save it with 16")
    elif picture.mode == "F":
        grey = _from_floats(np.asarray(picture))
    else:
        return picture
    # Pillow turns white and black for 8 bits only
    return Image.fromarray(255 - grey if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else grey)


def _from_floats(numbers: Any) -> Any:
    """Grey of 8 bits from floats, where 0 is black and 1 is white."""
    low, high = float(numbers.min()), float(numbers.max())
    if not (low >= 0 and high <= 1):  # also where one is no number
        raise BadItem(
            f"The image has floats from {low:g} to {high:g}; they are read from 0 (black) to 1 (white)"
        )
    return np.round(numbers * 255).astype(np.uint8)
