"""From the logits to the next token: each row is processed as plain `generate` processes it alone.

What stands there in transformers looks at the tokens so far, so padding and neighbours would change a
text: a penalty counts the padding, a shortest length counts it too. Here each row is handed its own
tokens only. Rows for which that makes no difference are handled in one call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from worker.models.writing.generation_plan import GenerationPlan
from worker.models.writing.sampling import SeededSampling

SCORES_ONLY = frozenset(
    {
        "EpsilonLogitsWarper",
        "EtaLogitsWarper",
        "InfNanRemoveLogitsProcessor",
        "LogitNormalization",
        "MinPLogitsWarper",
        "SuppressTokensLogitsProcessor",
        "TemperatureLogitsWarper",
        "TopHLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
        "TypicalLogitsWarper",
    }
)
"""Processors that do not look at the tokens."""

ALONE = frozenset(
    {
        "EncoderNoRepeatNGramLogitsProcessor",
        "EncoderRepetitionPenaltyLogitsProcessor",
        "SynthIDTextWatermarkLogitsProcessor",
        "UnbatchedClassifierFreeGuidanceLogitsProcessor",
    }
)
"""Processors that are bound to one input, or that keep state."""


@dataclass(slots=True)
class RowGroup:
    """Rows that are processed in one call, without their padding."""

    processors: LogitsProcessorList
    rows: list[int]
    padding: int


class RowwiseProcessor(LogitsProcessor):
    """The scores that decide each row's next token; `lost` says which rows have none that are numbers."""

    def __init__(
        self,
        shares: Sequence[RowGroup],
        rows: int,
        beams: int,
        draws: SeededSampling | None,
        device: str,
    ) -> None:
        self.lost = torch.zeros(rows, dtype=torch.bool, device=device)
        self._beams = beams
        self._draws = draws
        each = torch.arange(beams)
        self._shares = [
            (one, (torch.tensor(one.rows)[:, None] * beams + each).reshape(-1).to(device))
            for one in shares
            if len(one.processors)
        ]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """`scores` (rows x beams, vocabulary) as plain `generate` would have them."""
        largest = scores.amax(dim=-1)  # NaN if one of them is
        self._lose(~largest.isfinite(), any_beam=True)
        if not self._shares and self._draws is None:
            return self._harmless(scores)
        scores = self._harmless(scores).clone()
        for share, places in self._shares:
            tokens = input_ids[places][:, share.padding :]
            scores[places] = share.processors(tokens, scores[places])
        largest = scores.amax(dim=-1)
        self._lose(largest.isnan(), any_beam=True)
        self._lose(largest == float("-inf"), any_beam=False)
        scores = self._harmless(scores)
        return self._draws(input_ids, scores) if self._draws else scores

    def _lose(self, wrong: Any, *, any_beam: bool) -> None:
        beams = wrong.view(-1, self._beams)
        self.lost |= beams.any(dim=1) if any_beam else beams.all(dim=1)

    def _harmless(self, scores: Any) -> Any:
        """Numbers in place of what a lost row has, whose tokens nobody reads any more."""
        return scores.masked_fill(self.lost.repeat_interleave(self._beams)[:, None], 0.0)


def group_rows(
    model: Any, plans: Sequence[GenerationPlan], prompts: Sequence[Sequence[int]], device: str
) -> list[RowGroup]:
    """The rows of a pass by how their scores are processed; in its order within each share."""
    decoder_only = not model.config.is_encoder_decoder
    width = max(map(len, prompts))
    kinds: dict[tuple[Any, ...], set[str]] = {}
    shares: dict[tuple[Any, ...], RowGroup] = {}
    for row, (plan, prompt) in enumerate(zip(plans, prompts, strict=True)):
        if plan.key not in kinds:
            first = make_processors(model, plan, prompt, device)
            kinds[plan.key] = {type(one).__name__ for one in first}
        key: tuple[Any, ...] = (plan.key, plan.start, plan.most)
        if kinds[plan.key] & ALONE:
            key = (row,)
        elif kinds[plan.key] <= SCORES_ONLY:
            key = (plan.key,)
        if key not in shares:
            padding = width - len(prompt) if decoder_only else 0
            shares[key] = RowGroup(make_processors(model, plan, prompt, device), [], padding)
        shares[key].rows.append(row)
    return list(shares.values())


def make_processors(
    model: Any, plan: GenerationPlan, prompt: Sequence[int], device: str
) -> LogitsProcessorList:
    """The processors that plain `generate` would use for this text alone."""
    config = plan.config
    model._prepare_special_tokens(config, True, device=device, batch_size=1)
    return model._get_logits_processor(  # type: ignore[no-any-return]
        generation_config=config,
        input_ids_seq_length=plan.start,
        encoder_input_ids=torch.tensor([prompt], device=device),
        device=device,
    )
