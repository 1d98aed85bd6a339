"""What writes of images, beside what the table of families says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf

from contract.errors import BadItem, OutputInvalid
from tests.worker.models.answers import ask, close, item
from tests.worker.models.builders.media import picture
from tests.worker.models.builders.pictures import opened, refused, white
from worker.models import Model
from worker.models.passes.rows import Row
from worker.models.writing.sampling import find_seed

pytestmark = pytest.mark.slow

PICTURES = [picture(40, 30, 1), picture(40, 30, 2), picture(40, 30, 3)]
SAMPLED = {"temperature": 1.5, "max_new_tokens": 8}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model by its builder in `image_text_models`, built on first use."""
    from tests.worker.models.builders import image_text_models

    built: dict[str, Path] = {}

    def get(builder: str) -> Path:
        if builder not in built:
            target = tmp_path_factory.mktemp(builder) / "model"
            built[builder] = getattr(image_text_models, builder)(target)
        return built[builder]

    return get


@pytest.mark.parametrize("builder", ["blip", "git", "vision_encoder_decoder"])
def test_a_sampled_text_is_the_predictions_own_whoever_is_beside_it(
    builder: str, made: Callable[[str], Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("image-to-text", made(builder))
    asked = [
        item(image, f"id{n}", generation_parameters=SAMPLED) for n, image in enumerate(PICTURES)
    ]
    alone = [model.predict([one])[0] for one in asked]
    torch.manual_seed(7)
    assert model.predict(asked) == alone
    assert model.predict(asked[::-1]) == alone[::-1]
    assert torch.initial_seed() == 7  # the process's own draws go on as if nothing was


PARAMETERS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"max_new_tokens": 6}, {}, {"max_new_tokens": 3}),
    ({"max_new_tokens": 6}, {}, {"max_new_tokens": 9}),
    ({"max_new_tokens": 6}, {"max_new_tokens": 4}, {}),
    ({"max_new_tokens": 9, "min_new_tokens": 8}, {}, {"min_new_tokens": 0}),
    ({"max_new_tokens": 6, "cache_implementation": "static"}, {}, {}),
]
"""What the model's own file says, what the catalog, what the caller."""


@pytest.mark.parametrize(
    ("builder", "own", "catalog", "asked"),
    [
        *(
            (builder, *parameters)
            for builder in ("git", "vision_encoder_decoder")
            for parameters in PARAMETERS
        ),
        ("vision_encoder_decoder", {"max_new_tokens": 12, "stop_strings": ["a", "o"]}, {}, {}),
    ],
)
def test_the_callers_word_goes_before_the_catalogs_and_the_models_own(
    builder: str,
    own: dict[str, Any],
    catalog: dict[str, Any],
    asked: dict[str, Any],
    made: Callable[[str], Path],
    loaded: Callable[..., Model],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(made(builder), tmp_path / "model")
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **own}))
    model = loaded("image-to-text", folder, generation=catalog)
    given = [item(image, f"id{n}", generation_parameters=asked) for n, image in enumerate(PICTURES)]
    wanted = {**own, **catalog, **asked}
    wanted.pop("cache_implementation", None)
    plain = tf.AutoModelForImageTextToText.from_pretrained(made(builder)).eval()
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    texts = []
    for image in PICTURES:
        pixels = processor(images=opened(image), return_tensors="pt")
        with torch.inference_mode():
            (tokens,) = plain.generate(**pixels, **wanted, tokenizer=tokenizer)
        texts.append({"generated_text": tokenizer.decode(tokens, skip_special_tokens=True)})
    assert [model.predict([one])[0] for one in given] == texts
    assert model.predict(given) == texts


def test_a_seed_draws_what_plain_transformers_draws_with_it(
    made: Callable[[str], Path], loaded: Callable[..., Model]
) -> None:
    folder = made("git")
    asked = item(PICTURES[0], generation_parameters={**SAMPLED, "seed": 11})
    (found,) = loaded("image-to-text", folder).predict([asked])
    model = tf.AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(find_seed(Row(None, {}, asked), 11) % 2**63)
    pixels = processor(images=opened(PICTURES[0]), return_tensors="pt")
    (tokens,) = model.generate(**pixels, do_sample=True, **SAMPLED)
    assert found["generated_text"] == tokenizer.decode(tokens, skip_special_tokens=True)


def test_two_with_the_same_seed_are_drawn_alike(
    made: Callable[[str], Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("image-to-text", made("git"))
    one, other, third = ask(
        model,
        PICTURES[0],
        PICTURES[0],
        PICTURES[0],
        generation_parameters={**SAMPLED, "seed": 3},
    )
    assert one == other == third


def test_nobody_says_how_long_and_there_is_room_for_less_than_usual(
    made: Callable[[str], Path], loaded: Callable[..., Model]
) -> None:
    model: Any = loaded("image-to-text", made("vision_encoder_decoder"))
    (found,) = ask(model, PICTURES[0])
    assert model._room == 47
    assert len(found["generated_text"]) > 20  # of bytes, some of which are no character
    (too_many,) = ask(model, PICTURES[0], max_new_tokens=48)
    assert type(too_many) is BadItem
    assert "room for 48 in all" in str(too_many)


def test_settings_that_contradict_each_other_fail_alone(
    made: Callable[[str], Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("image-to-text", made("git"))
    bad, good = model.predict(
        [
            item(PICTURES[0], generation_parameters={"min_new_tokens": 9, "max_new_tokens": 3}),
            item(PICTURES[0], max_new_tokens=3),
        ]
    )
    assert type(bad) is BadItem
    assert set(good) == {"generated_text"}


@pytest.mark.parametrize(
    ("task", "builder"),
    [
        ("image-to-text", "blip"),
        ("image-to-text", "git"),
        ("image-to-text", "captioner_with_beams"),
        ("visual-question-answering", "blip_questions"),
        ("visual-question-answering", "vilt"),
    ],
)
def test_a_text_made_of_nan_is_none_and_its_neighbours_are_untouched(
    task: str, builder: str, made: Callable[[str], Path], loaded: Callable[..., Model]
) -> None:
    def asked(image: str) -> Any:
        return image if task == "image-to-text" else {"image": image, "question": "who is bob ?"}

    model: Any = loaded(task, made(builder))
    inputs = [asked(PICTURES[0]), asked(white(40, 30)), asked(PICTURES[1])]
    wanted = ask(model, inputs[0], inputs[2])

    def spoil(module: Any, args: Any, output: Any) -> Any:
        rows = args[0].flatten(1).mean(1) > 0.9
        output[rows] = float("nan")
        return output

    first = next(
        module for module in model._images.model.modules() if isinstance(module, torch.nn.Conv2d)
    )
    hook = first.register_forward_hook(spoil)
    try:
        one, bad, other = ask(model, *inputs)
    finally:
        hook.remove()
    close([one, other], wanted)
    assert type(bad) is OutputInvalid


def test_families_that_are_told_in_words_what_to_write_are_refused_by_name(
    tmp_path: Path, made: Callable[[str], Path]
) -> None:
    config = tf.Blip2Config()
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((made("git") / "model.safetensors").read_bytes())
    for task in ("image-to-text", "visual-question-answering"):
        text = refused(tmp_path, task)
        assert "a blip-2 model" in text
        assert "blip" in text.split("blip-2 model")[1]


def test_a_catalogs_generation_is_the_default_and_unknown_names_are_refused(
    made: Callable[[str], Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("image-to-text", made("git"), generation={"max_new_tokens": 3})
    (short,) = ask(model, PICTURES[0])
    (long,) = ask(model, PICTURES[0], max_new_tokens=12)
    assert long["generated_text"].startswith(short["generated_text"])
    assert len(long["generated_text"]) > len(short["generated_text"])
    text = refused(made("git"), "image-to-text", generation={"max_tokens": 3})
    assert "unknown names: max_tokens" in text


def test_a_model_that_looks_at_random_patches_is_refused_with_the_way_out(
    tmp_path: Path, made: Callable[[str], Path]
) -> None:
    for file in made("vilt").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = tf.AutoConfig.from_pretrained(tmp_path)
    config.max_image_length = 8
    config.save_pretrained(tmp_path)
    assert "`max_image_length`" in refused(tmp_path, "visual-question-answering")
