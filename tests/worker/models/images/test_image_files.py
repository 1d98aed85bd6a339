"""Images of strangers, in every way that Pillow holds them."""

import base64
import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from contract.errors import BadItem
from tests.worker.models.builders.media import picture
from worker.models.images import image_files

RAMP = np.tile(np.linspace(0, 255, 16).round(), (5, 1))
"""From black to white, as 8 bits say it."""


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def saved(made: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    made.save(buffer, kind, **options)
    return encoded(buffer.getvalue())


def grey(levels: Any) -> Image.Image:
    return Image.fromarray(np.asarray(levels))


def seen(text: str) -> Any:
    """The levels that a model sees, of a picture that is grey."""
    found = np.asarray(image_files.decode_image(text)).astype(int)
    assert (found.max(axis=2) - found.min(axis=2)).max() <= 2
    return found[..., 0]


def tiff(
    levels: Any, *, photometric: int = 1, samples: int = 0, bits: int = 0, width: int = 0
) -> str:
    """A TIFF written by hand: Pillow writes few of those that it reads.

    `samples`: 1 unsigned, 2 signed, 3 float, 0 not said; `bits` and `width` where `levels` are packed.
    """
    depth = levels.shape[2] if levels.ndim == 3 else 1
    tags = {
        256: width or levels.shape[1],
        257: 1 if width else levels.shape[0],
        258: bits or levels.itemsize * 8,
        259: 1,
        262: 2 if depth == 3 else photometric,
        273: 0,
        277: depth,
        278: 1 if width else levels.shape[0],
        279: levels.nbytes,
        339: samples,
    }
    tags = {tag: value for tag, value in tags.items() if tag != 339 or samples}
    start = 8 + 2 + 12 * len(tags) + 4
    several = struct.pack("<HHH", *[tags[258]] * 3) if depth == 3 else b""
    tags[273] = start + len(several)
    lines = [
        struct.pack("<HHII", tag, 3, 3, start)
        if tag == 258 and several
        else struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value)
        for tag, value in sorted(tags.items())
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(lines)) + b"".join(lines) + bytes(4)
    return encoded(head + several + levels.astype(levels.dtype.newbyteorder("<")).tobytes())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_usual_images_are_read_as_rgb(kind: str) -> None:
    found = image_files.decode_image(picture(40, 30, kind=kind))
    assert (found.mode, found.size) == ("RGB", (40, 30))


def test_an_image_is_turned_as_its_exif_says() -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(buffer, "JPEG", exif=exif)
    assert image_files.decode_image(encoded(buffer.getvalue())).size == (30, 40)


def test_a_bomb_is_refused_by_its_header() -> None:
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    with pytest.raises(BadItem, match="pixels"):
        image_files.decode_image(encoded(buffer.getvalue()))


def test_an_image_of_a_little_too_many_pixels_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 5_001)).save(buffer, "PNG")
    with pytest.raises(BadItem, match="50,000,000"):
        image_files.decode_image(encoded(buffer.getvalue()))


def test_a_strip_that_scaling_would_blow_up_is_refused() -> None:
    with pytest.raises(BadItem, match="strip"):
        image_files.decode_image(picture(1000, 2))


@pytest.mark.parametrize(
    "data", [b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"%PDF-1.4", b"GIF89a"]
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(BadItem):
        image_files.decode_image(encoded(data))


def test_a_torn_image_is_refused() -> None:
    whole = base64.b64decode(picture(200, 200))
    with pytest.raises(BadItem, match="broken: image file is truncated"):
        image_files.decode_image(encoded(whole[: len(whole) // 2]))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_scaled_and_not_cut_to_white(kind: str) -> None:
    np.testing.assert_array_equal(seen(saved(grey((RAMP * 257).astype(np.uint16)), kind)), RAMP)


def test_grey_of_16_bits_in_the_other_byte_order_is_scaled() -> None:
    np.testing.assert_array_equal(seen(saved(grey((RAMP * 257).astype(">u2")), "TIFF")), RAMP)


def test_grey_and_colour_of_16_bits_are_scaled_alike() -> None:
    levels = np.random.default_rng(0).integers(0, 2**16, (7, 9), np.uint16)
    coloured = np.asarray(image_files.decode_image(tiff(levels[..., None].repeat(3, axis=2))))
    np.testing.assert_array_equal(seen(tiff(levels)), coloured[..., 0])
    np.testing.assert_array_equal(coloured, (levels >> 8)[..., None].repeat(3, axis=2))


def test_grey_of_12_bits_is_scaled_by_its_own_white() -> None:
    packed = bytes.fromhex("000fff8000ff")  # 0, 4095, 2048, 255
    assert seen(tiff(np.frombuffer(packed, np.uint8), bits=12, width=4)).tolist() == [
        [0, 255, 128, 15]
    ]


def test_where_white_is_zero_16_bits_and_floats_are_turned_as_8_bits_are() -> None:
    for levels in (RAMP.astype(np.uint8), (RAMP * 257).astype(np.uint16)):
        np.testing.assert_array_equal(seen(tiff(levels, photometric=0)), 255 - RAMP)
    floats = (RAMP / 255).astype(np.float32)
    np.testing.assert_array_equal(seen(tiff(floats, photometric=0, samples=3)), 255 - RAMP)


def test_floats_are_read_from_black_at_0_to_white_at_1() -> None:
    np.testing.assert_array_equal(seen(saved(grey((RAMP / 255).astype(np.float32)), "TIFF")), RAMP)


@pytest.mark.parametrize("levels", [RAMP, -RAMP / 255, RAMP * np.nan, (RAMP + 1) * np.inf])
def test_floats_whose_white_is_not_known_are_refused_with_their_range(levels: Any) -> None:
    with pytest.raises(BadItem, match=r"floats from .* 0 \(black\) to 1 \(white\)"):
        image_files.decode_image(saved(grey(levels.astype(np.float32)), "TIFF"))


def test_32_bits_and_signed_samples_are_refused_by_name() -> None:
    with pytest.raises(BadItem, match="32 bits"):
        image_files.decode_image(tiff(RAMP.astype(np.uint32)))
    for kind in (np.int8, np.int16, np.int32):
        with pytest.raises(BadItem, match="signed"):
            image_files.decode_image(tiff((RAMP / 4).astype(kind), samples=2))


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("L", "PNG TIFF GIF BMP"),
        ("LA", "PNG TIFF"),
        ("P", "PNG TIFF GIF BMP"),
        ("PA", "TIFF"),
        ("RGB", "PNG TIFF BMP"),
        ("RGBA", "PNG TIFF"),
        ("CMYK", "TIFF"),
        ("YCbCr", "TIFF"),
    ],
)
def test_every_mode_of_a_picture_shows_the_same(mode: str, kinds: str) -> None:
    made = grey(RAMP.astype(np.uint8)).convert(mode)
    for kind in kinds.split():
        np.testing.assert_allclose(seen(saved(made, kind)), RAMP, atol=1, err_msg=kind)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "YCbCr"])
def test_every_mode_of_a_jpeg_shows_the_same(mode: str) -> None:
    made = grey(RAMP.astype(np.uint8)).convert(mode)
    np.testing.assert_allclose(seen(saved(made, "JPEG", quality=100)), RAMP, atol=3)


def test_lab_shows_the_colours_that_it_was_made_from() -> None:
    pixels = np.random.default_rng(0).integers(40, 200, (6, 6, 3), np.uint8)
    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    made: Any = ImageCms.profileToProfile(Image.fromarray(pixels), rgb, lab, outputMode="LAB")
    found = np.asarray(image_files.decode_image(saved(made, "TIFF"))).astype(int)
    np.testing.assert_allclose(found, pixels, atol=8)


def test_two_levels_are_black_and_white() -> None:
    levels = np.array([[0, 255, 0, 255]] * 3, np.uint8)
    for kind in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(seen(saved(grey(levels).convert("1"), kind)), levels)


@pytest.mark.parametrize("transparency", [0, bytes([0, 128, 255, 255])])
def test_a_palette_keeps_its_colours_whatever_is_transparent(transparency: Any) -> None:
    made = Image.new("P", (4, 1))
    made.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    made.putdata([0, 1, 2, 3])
    found = np.asarray(image_files.decode_image(saved(made, "PNG", transparency=transparency)))
    assert found.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]]


def test_transparent_pixels_keep_their_colour_as_in_transformers() -> None:
    made = Image.fromarray(np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], np.uint8))
    for kind in ("PNG", "TIFF"):
        assert np.asarray(image_files.decode_image(saved(made, kind))).tolist() == [
            [[10, 20, 30], [40, 50, 60]]
        ]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_of_many_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "WEBP" else {}
    text = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert image_files.decode_image(text).getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_turned_as_its_exif_says(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = grey((RAMP * 257).astype(np.uint16))
    np.testing.assert_array_equal(seen(saved(made, kind, exif=exif)), np.rot90(RAMP, -1))


def test_a_picture_of_several_like_those_of_phones_is_read() -> None:
    first, second = Image.new("RGB", (16, 8), "red"), Image.new("RGB", (16, 8), "blue")
    found = image_files.decode_image(saved(first, "MPO", save_all=True, append_images=[second]))
    red, _, blue = found.getpixel((4, 4))  # type: ignore[misc]
    assert (red > 200, blue < 50) == (True, True)


def test_a_tiff_of_unusual_samples_is_refused_as_such() -> None:
    with pytest.raises(BadItem, match="with usual samples"):
        image_files.decode_image(tiff(np.zeros((4, 4, 3), np.float32), samples=3))
