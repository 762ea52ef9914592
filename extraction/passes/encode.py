"""From a sample to the arrays of its prompt; needs the processor alone, so it can run in other processes."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from extraction.datasets.sample import Sample
from extraction.errors import SampleError
from extraction.model.answer_tokens import gold_tokens
from extraction.model.family import BIDIRECTIONAL_PROMPT, CAUSAL, Family
from extraction.model.prompts import render_prompt
from extraction.model.tokens import WHOLE_TEXT
from extraction.passes.images import read_image
from extraction.passes.spans import check_question, find_groups
from pid_jax.store.manifest import GROUPS

if TYPE_CHECKING:
    from extraction.model.load import VisionLanguageModel

_TRIED = 200  # samples tried at most by `pick_samples`
# What a processor returns besides these belongs to the image.
_OF_TEXT = frozenset({"input_ids", "attention_mask", "offset_mapping", "token_type_ids", "mm_token_type_ids", "labels"})


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One sample that is ready for the model.

    Attributes:
        sample: The sample.
        input_ids: Tokens, (positions,).
        codes: The group of each token, see `TokenGroups`.
        image_hash: Hash of the image's content, see `read_image`.
        token_inputs: Other inputs with one value a token, (positions,).
        image_inputs: The image, as the model takes it in a batch of one.
        attention: Which tokens attend to which, see `Family`.
        gold_tokens: Tokens that begin the gold answer, see `gold_tokens`.
    """

    sample: Sample
    input_ids: np.ndarray
    codes: np.ndarray
    image_hash: str = ""
    token_inputs: dict[str, np.ndarray] = field(default_factory=dict)
    image_inputs: dict[str, np.ndarray] = field(default_factory=dict)
    attention: str = CAUSAL
    gold_tokens: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Count the tokens."""
        return len(self.input_ids)

    @classmethod
    def of(
        cls, family: Family, sample: Sample, encoded: dict[str, np.ndarray], codes: np.ndarray, image_hash: str = ""
    ) -> "Prepared":
        """Sort what a processor returned for a batch of one."""
        return cls(
            sample=sample,
            input_ids=encoded["input_ids"][0],
            codes=codes,
            image_hash=image_hash,
            token_inputs={name: encoded[name][0] for name in family.token_inputs if name in encoded},
            image_inputs={name: value for name, value in encoded.items() if name not in _OF_TEXT},
            attention=family.attention,
        )

    @cached_property
    def prefix(self) -> int:
        """Number of tokens up to the last of the image, whose states do not depend on the question.

        0 if the image does not precede the question, or if all tokens attend to all.
        """
        if self.attention == BIDIRECTIONAL_PROMPT:
            return 0
        image, question = (np.flatnonzero(self.codes == GROUPS.index(group)) for group in ("image", "question"))
        return int(image[-1]) + 1 if image[-1] < question[0] else 0


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Renders, tokenizes and preprocesses samples of one run.

    Attributes:
        processor: The model's processor.
        family: The model's family.
        template: Resolved prompt template.
        image_token_id: Id of the image tokens.
        max_positions: Longest prompt that the model takes.
        embedding_rows: Number of tokens that the model knows.
        roles: Token groups that every prompt must have.
    """

    processor: Any
    family: Family
    template: str
    image_token_id: int
    max_positions: int
    embedding_rows: int
    roles: tuple[str, ...] = ()

    @classmethod
    def of(cls, vlm: "VisionLanguageModel", template: str, roles: tuple[str, ...] = ()) -> "Encoder":
        """Make the encoder of a model."""
        return cls(
            processor=vlm.processor,
            family=vlm.family,
            template=template,
            image_token_id=vlm.image_token_id,
            max_positions=vlm.max_positions,
            embedding_rows=vlm.embedding_rows,
            roles=roles,
        )

    def prepare(self, sample: Sample) -> Prepared:
        """Make a sample ready.

        Raises:
            SampleError: If the record has a problem, the question is empty, the image cannot be read, the prompt lacks
                image or question tokens, is too long for the model, or holds a token that the model does not know.
        """
        if sample.problem is not None:
            raise SampleError("record", sample.problem)
        prompt = render_prompt(self.template, sample.question, self.family, self._marks)
        image, image_hash = read_image(sample)
        encoded = self.encode(prompt.text, image)
        input_ids, offsets = encoded["input_ids"][0], encoded["offset_mapping"][0]
        if len(input_ids) > self.max_positions:
            raise SampleError(
                "length",
                f"{len(input_ids)} tokens are more than the model's {self.max_positions}: shorten the question",
            )
        if (highest := int(input_ids.max())) >= self.embedding_rows:
            raise SampleError(
                "prompt",
                f"token {highest} ({self.processor.tokenizer.convert_ids_to_tokens(highest)!r}) is outside of the "
                f"model's embedding of {self.embedding_rows} rows: change the text, or resize the embedding",
            )
        plain = self.processor.tokenizer(prompt.text, **self._how(prompt.text))
        shift = int(offsets[:, 1].max()) - max(end for _, end in plain["offset_mapping"])
        codes = find_groups(prompt, input_ids, offsets, shift, self.image_token_id)
        check_question(prompt, plain, input_ids[codes == GROUPS.index("question")], self.processor.tokenizer)
        if lacking := [role for role in self.roles if not (codes == GROUPS.index(role)).any()]:
            raise SampleError(
                "prompt", f"the prompt has no token of the role {lacking[0]!r}: leave it out of the roles"
            )
        begins = gold_tokens(self.processor.tokenizer, prompt.text, sample.answer)
        return replace(Prepared.of(self.family, sample, encoded, codes, image_hash), gold_tokens=begins)

    def encode(self, text: str, image: Any) -> dict[str, np.ndarray]:
        """Return what the processor makes of a prompt and its image, with the offsets of the tokens.

        Raises:
            SampleError: If the processor refuses them.
        """
        try:
            how = self._how(text)
            encoded = self.processor(images=[image], text=[text], return_tensors="np", text_kwargs=how)
        except Exception as error:  # whatever the processor of another library cannot take is wrong with this sample
            raise SampleError(
                "processor", f"the model's processor refuses the sample ({type(error).__name__}: {error})"
            ) from error
        return {name: np.asarray(value) for name, value in encoded.items()}

    @cached_property
    def _marks(self) -> frozenset[str]:
        tokenizer = self.processor.tokenizer
        added = [token for token in tokenizer.added_tokens_decoder.values() if token.special]
        return frozenset(tokenizer.all_special_tokens) | {token.content for token in added}

    def _how(self, text: str) -> dict[str, bool]:
        """How to tokenize: a template that begins with the mark of the beginning does not get a second one."""
        begin = self.processor.tokenizer.bos_token
        adds = not (begin and text.startswith(begin))
        return {**WHOLE_TEXT, "return_offsets_mapping": True, "add_special_tokens": adds}


def pick_samples(encoder: Encoder, samples: Sequence[Sample], count: int) -> list[Prepared]:
    """Prepare the first samples with different questions; fewer if there are not so many."""
    found: list[Prepared] = []
    tries = 0
    for sample in samples:
        if sample.question in {prepared.sample.question for prepared in found}:
            continue
        with contextlib.suppress(SampleError):
            found.append(encoder.prepare(sample))
        tries += 1
        if len(found) == count or tries == _TRIED:
            break
    return found
