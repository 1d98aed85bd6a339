"""A model that writes token by token: what text-generation, summarization and translation share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteriaList,
    StopStringCriteria,
)

from contract.errors import BadItem, OutputInvalid
from worker.models.files.checkpoint import Checkpoint
from worker.models.passes.cutting import PassBudget, cut_into_passes
from worker.models.passes.logits import NOT_FINITE
from worker.models.passes.rows import Row, call_each
from worker.models.texts.model_limits import count_embeddings
from worker.models.timing import timed
from worker.models.torch_errors import first_line
from worker.models.writing.carried_state import CarriedState
from worker.models.writing.decoder_trials import (
    TEXT,
    can_search,
    find_decoder_batching,
    make_inputs,
)
from worker.models.writing.generation_plan import (
    GenerationPlan,
    GenerationPlanner,
    check_catalog_generation,
    flatten_parameters,
    make_config,
)
from worker.models.writing.logits_processing import RowwiseProcessor, group_rows, make_processors
from worker.models.writing.positions import find_positions
from worker.models.writing.sampling import SeededSampling, find_seed
from worker.models.writing.text_stream import StreamingCriteria, TextStream

PROVABLE = 512
"""Tokens of the longest text that a CPU reads before it is ready; for more a large one took minutes."""

Request = tuple[Row, list[int], GenerationPlan]
"""A row, its tokens, and what `generate` is to do with them."""


class Decoder:
    """A tokenizer and a model that writes token by token, such as GPT-2 or T5."""

    def __init__(self, checkpoint: Checkpoint, device: str, kind: str) -> None:
        spec = checkpoint.spec
        check_catalog_generation(checkpoint)
        if checkpoint.find_file("custom_generate/generate.py"):
            raise checkpoint.refusal(
                "it writes by code of its own (custom_generate), and workers run no code of a model's; "
                "take that folder away to have it written as by transformers"
            )
        self.device = device
        self.defaults = flatten_parameters(spec.generation)
        self._refusal = checkpoint.refusal
        self.tokenizer = checkpoint.load_tokenizer()
        self.model = checkpoint.load_model(kind, device)
        self.config = self.model.config
        for module in self.model.modules():
            if hasattr(module, "config"):  # each half of T5 has one of its own
                module.config.return_dict = True  # a tuple has no names
        self.decoder_only = not self.config.is_encoder_decoder
        self.own_config = self.model.generation_config
        self.planner = self.planner_with({})
        # it is in each row's plan already; here `generate` would apply it to the padding, too
        self.model.generation_config = make_config()
        self._carried = CarriedState(self.model)
        self._embedded = count_embeddings(self.model)
        self.pad_id = self._padding()
        self.positions = find_positions(self.model, "decoder")
        ends = self.own_config.eos_token_id
        self._ends = set(ends) if isinstance(ends, list) else {ends} - {None}
        # a pass lasts as many steps as its longest text, so cutting never pays before the cap
        self._budget = PassBudget(spec.max_batch_size, spec.max_batch_tokens, spec.max_batch_tokens)
        with checkpoint.warming_up():
            self._stops = self._own_stops()
            self._try_out()

    def planner_with(self, suggested: Mapping[str, Any]) -> GenerationPlanner:
        """The planner of this model, with a task's values where its own file has none.

        Raises:
            ModelUnloadable: it asks for something that is not served.
        """
        planner = GenerationPlanner(self.own_config, self.defaults, suggested)
        if unserved := planner.find_unserved():
            raise self._refusal(
                f"its generation_config.json asks for {unserved}, which is not served; take it out, or "
                "set `generation` in the catalog"
            )
        return planner

    @timed("preprocess")
    def tokenize(self, texts: list[str], **options: Any) -> list[list[int] | BadItem]:
        """The tokens of each text; `options` are the tokenizer's, which cuts none off without them."""
        found = call_each(texts, lambda some: list(self.tokenizer(some, **options)["input_ids"]))
        return [
            BadItem(f"The text cannot be tokenised: {first_line(one)}")
            if isinstance(one, Exception)
            else self._readable(one)
            for one in found
        ]

    def cut_text(self, text: str, length: int, side: str) -> list[int] | BadItem:
        """At most `length` tokens of the text, special ones included, the rest cut off at this side."""
        usual, self.tokenizer.truncation_side = self.tokenizer.truncation_side, side
        try:
            return self.tokenize([text], truncation=True, max_length=length)[0]
        finally:
            self.tokenizer.truncation_side = usual

    @timed("warm_up")
    def sample_text(self, length: int) -> str:
        """A text of about as many tokens, for the warm-up."""
        (ten,) = self.tokenize([TEXT * 10])
        wanted = min(length, PROVABLE) if self.device == "cpu" else length
        return TEXT * (10 * wanted // len(ten) + 1) if isinstance(ten, list) else TEXT

    def parameters_of(self, row: Row) -> dict[str, Any]:
        """The row's parameters over the catalog's."""
        return {**self.defaults, **row.parameters}

    def answer_rows(
        self,
        rows: Sequence[Row],
        texts: Sequence[list[int] | BadItem],
        request: Callable[[Row, list[int]], GenerationPlan],
        name: str,
        *,
        emits: bool = False,
    ) -> None:
        """Give each row `{name: what the model writes}` as its result, or the error that it is.

        `request` says what a row with these tokens asks for, or raises BadItem.
        """
        ready: list[Request] = []
        seen: dict[Any, BadItem | None] = {}
        for row, text in zip(rows, texts, strict=True):
            try:
                if isinstance(text, BadItem):
                    raise text
                plan = request(row, text)
                if plan.key not in seen:
                    seen[plan.key] = self._objection(plan, text)
                if objection := seen[plan.key]:
                    raise objection
                ready.append((row, text, plan))
            except BadItem as error:
                row.result = error
        self.generate(ready, emits=emits)
        for row, _, _ in ready:
            if isinstance(row.result, str):
                row.result = {name: row.result}

    def _objection(self, plan: GenerationPlan, text: list[int]) -> BadItem | None:
        """Why this model cannot follow a plan, whatever the text."""
        if plan.beams > 1 and not self._searches:
            return BadItem("This model cannot search with beams; `num_beams: 1` is served")
        try:
            make_processors(self.model, plan, text, self.device)
        except (ValueError, TypeError, IndexError) as error:  # with the model's own file, often
            return BadItem(f"These parameters do not go together: {first_line(error)}")
        return None

    def generate(self, requests: Sequence[Request], *, emits: bool = False) -> None:
        """Give each row the text that the model writes for its tokens as its result."""
        groups: dict[tuple[Any, ...], list[Request]] = {}
        for number, request in enumerate(requests):
            _, tokens, plan = request
            key = self.batching.pass_key(len(tokens), number)
            beams = (plan.key, plan.most) if plan.beams > 1 else ()
            groups.setdefault((key, *beams), []).append(request)
        for members in groups.values():
            lengths = [len(tokens) + plan.most for _, tokens, plan in members]
            for one in cut_into_passes(lengths, self._budget):
                for few in self._within([members[place] for place in one]):
                    if wanted := [request for request in few if request[0].open]:
                        self._generate_pass(wanted, emits=emits)

    def _within(self, requests: list[Request]) -> list[list[Request]]:
        """Passes none of whose rows comes to run beyond the model's positions.

        A row that is over stays in its pass, padded, until the last one is over.
        """
        most = max(plan.most for _, _, plan in requests)
        longest = max(plan.start for _, _, plan in requests)
        if self.positions is None or longest + most <= self.positions:
            return [requests]
        passes: dict[int, list[Request]] = {}
        for request in requests:
            passes.setdefault(request[2].most, []).append(request)
        return list(passes.values())

    @timed("inference")
    def _generate_pass(self, requests: Sequence[Request], *, emits: bool) -> None:
        """One call of `generate`, for rows that may share it."""
        prompts, plans = [tokens for _, tokens, _ in requests], [plan for _, _, plan in requests]
        streams = [self._stream(*request, emits) for request in requests]
        beams = plans[0].beams
        choice = RowwiseProcessor(
            group_rows(self.model, plans, prompts, self.device),
            len(requests),
            beams,
            self._draws(requests),
            self.device,
        )
        inputs = make_inputs(self.model, prompts, self.pad_id, self.device)
        width = inputs["input_ids"].shape[1]
        watch = StreamingCriteria(
            streams,
            self._ends,
            beams=beams > 1,
            lost=choice.lost,
            stops=self._stops,
            padding=[width - len(prompt) if self.decoder_only else 0 for prompt in prompts],
        )
        self._carried.reset()
        with torch.inference_mode():
            found = self.model.generate(
                **inputs,
                generation_config=self._pass(plans),
                logits_processor=LogitsProcessorList([choice]),
                stopping_criteria=StoppingCriteriaList([watch]),
            )
        if beams > 1:
            first = width if self.decoder_only else 1
            counts = (found.beam_indices >= 0).sum(dim=1).tolist()
            for stream, written, count in zip(
                streams, found.sequences.tolist(), counts, strict=True
            ):
                stream.add_tokens(written[first : first + count])
        for stream, lost in zip(streams, choice.lost.tolist(), strict=True):
            stream.row.result = OutputInvalid(NOT_FINITE) if lost else stream.finish()

    def _pass(self, plans: Sequence[GenerationPlan]) -> GenerationConfig:
        """The settings that are one for all rows of a pass; the others are applied to each row's scores."""
        config = plans[0].config
        beams = {
            "num_beams": plans[0].beams,
            "early_stopping": config.early_stopping,
            "length_penalty": config.length_penalty,
            "return_dict_in_generate": True,
        }
        return make_config(
            bos_token_id=self.own_config.bos_token_id,
            eos_token_id=self.own_config.eos_token_id,
            pad_token_id=self.pad_id,
            decoder_start_token_id=self.own_config.decoder_start_token_id,
            use_cache=config.use_cache,
            do_sample=False,
            max_new_tokens=max(plan.most for plan in plans),
            **(beams if plans[0].beams > 1 else {}),
        )

    def _stream(self, row: Row, prompt: list[int], plan: GenerationPlan, emits: bool) -> TextStream:
        given = self.parameters_of(row)
        stream = TextStream(
            row,
            self.tokenizer,
            prompt=prompt if self.decoder_only else [],
            most=plan.most,
            stops=given.get("stop", []),
            emits=emits and row.single,
            clean=self._cleaning(given.get("clean_up_tokenization_spaces")),
        )
        if self.decoder_only and given.get("return_full_text", False):
            stream.add_text(row.value)
        return stream

    def _draws(self, requests: Sequence[Request]) -> SeededSampling | None:
        """The sampling of the rows; None if all are greedy."""
        seeds = [
            find_seed(row, self.parameters_of(row).get("seed")) if plan.config.do_sample else None
            for row, _, plan in requests
        ]
        return SeededSampling(seeds) if any(seed is not None for seed in seeds) else None

    def _cleaning(self, wanted: bool | None) -> Callable[[str], str] | None:
        """The tokenizer's clean-up of a decoded text, if the caller or else its own file asks for it."""
        if wanted is None:
            wanted = getattr(self.tokenizer, "clean_up_tokenization_spaces", False)
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        forced = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"
        whole = type(getattr(backend, "model", None)).__name__ == "BPE" and not getattr(
            self.tokenizer, forced, False
        )
        return self.tokenizer.clean_up_tokenization if wanted and not whole else None

    def _readable(self, tokens: list[int]) -> list[int] | BadItem:
        if not tokens:
            return BadItem("The text has no tokens")
        if max(tokens) >= self._embedded:
            piece = self.tokenizer.convert_ids_to_tokens(max(tokens))
            return BadItem(
                f"The text has {piece!r}, which the tokenizer knows and the model does not: it has "
                f"{self._embedded} tokens"
            )
        return tokens

    def _padding(self) -> int:
        """A token to pad with, one that the model has; the mask hides it."""
        known = (
            self.own_config.pad_token_id,
            getattr(self.config, "pad_token_id", None),
            self.tokenizer.pad_token_id,
        )
        return next((one for one in known if one is not None and 0 <= one < self._embedded), 0)

    def _own_stops(self) -> StopStringCriteria | None:
        strings = self.own_config.stop_strings
        return StopStringCriteria(self.tokenizer, strings) if strings else None

    def _try_out(self) -> None:
        """Try which rows may share a pass, and whether the model can search with beams."""
        (tokens,) = self.tokenize([TEXT * 3])
        if isinstance(tokens, BadItem):
            raise tokens
        room = min(self.positions or 64, find_positions(self.model, "encoder") or 64, 64) - 4
        tokens = tokens[:room] if len(tokens) > 1 else tokens * 3
        start = self.own_config.decoder_start_token_id
        start = self.own_config.bos_token_id if start is None else start
        tried = (
            self.model,
            self._carried,
            tokens,
            self.pad_id,
            None if self.decoder_only else start,
        )
        self.batching = find_decoder_batching(*tried)
        self._searches = can_search(*tried)
