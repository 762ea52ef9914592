"""Load a vision-language model and find its parts."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn

from extraction.model.checks import (
    Checked,
    complete_image_settings,
    refuse_adapter_files,
    refuse_capped_attention,
    refuse_quantized,
    refuse_wrapped,
)
from extraction.model.families import UnknownFamilyError, family_of
from extraction.model.family import Family, find_class
from extraction.model.processors import check_handed_on, load_processor
from extraction.model.shipped import SHIPPED
from extraction.model.tokens import check_tokenizer, pad_token
from extraction.model.unknown_family import describe_unknown

ATTENTION = ("sdpa", "eager")
"""Implementations of attention that take a mask."""


@dataclass(frozen=True, kw_only=True)
class VisionLanguageModel:
    """A model, its processor, and the parts that the extraction drives.

    Attributes:
        model: In evaluation mode.
        processor: Its processor.
        family: What kind of model it is.
        decoder: The decoder: embeddings, blocks, final norm.
        image_token_id: Id that stands at every image position.
        checked: What was looked at when it was loaded.
    """

    model: Any
    processor: Any
    family: Family
    decoder: Any
    image_token_id: int
    checked: tuple[Checked, ...] = ()

    @property
    def layers(self) -> nn.ModuleList:
        """Decoder blocks."""
        return self.decoder.layers

    @property
    def norm(self) -> nn.Module:
        """Final norm of the decoder."""
        return self.decoder.norm

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of every block, such as "sliding_attention", if rotations differ between kinds; empty otherwise."""
        return tuple(self.text_config.layer_types) if _rotates_by_kind(self.decoder.rotary_emb) else ()

    @property
    def head(self) -> nn.Module:
        """From final states to logits."""
        return self.model.get_output_embeddings()

    def logits(self, normed: torch.Tensor) -> torch.Tensor:
        """Compute the logits of final states, (..., width) to (..., vocabulary)."""
        logits, cap = self.head(normed), getattr(self.text_config, "final_logit_softcapping", None)
        return logits if cap is None or not self.family.caps_logits else torch.tanh(logits / cap) * cap

    @property
    def device(self) -> torch.device:
        """Where the inputs go."""
        return self.model.device

    @property
    def text_config(self) -> Any:
        """Configuration of the decoder."""
        return self.model.config.get_text_config()

    @property
    def heads(self) -> int:
        """Number of attention heads of a decoder block; keys and values may be shared by several of them."""
        return int(self.text_config.num_attention_heads)

    @property
    def width(self) -> int:
        """Length of a hidden state."""
        return self.text_config.hidden_size

    @property
    def embedding_rows(self) -> int:
        """Number of tokens that the model knows."""
        return self.model.get_input_embeddings().weight.shape[0]

    @property
    def pad_token_id(self) -> int:
        """What stands at padded positions, which are masked."""
        return pad_token(self.processor.tokenizer, self.embedding_rows, self.image_token_id)

    @property
    def max_positions(self) -> int:
        """Longest prompt in which every token sees all before it, which the extraction relies on."""
        window = getattr(self.text_config, "sliding_window", None)
        return min(self.text_config.max_position_embeddings, window or self.text_config.max_position_embeddings)

    def attention(self, index: int) -> nn.Module:
        """Self-attention of a decoder block."""
        return self.layers[index].get_submodule("self_attn")


def load_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str | None = None,
    device_map: str | None = None,
    attn_implementation: str = "sdpa",
    local_files_only: bool = False,
) -> VisionLanguageModel:
    """Load a model and its processor; safetensors only, no remote code.

    Args:
        name: A small model that ships with this package ("tiny", "tiny-gqa-8", "tiny-gqa-6"), a folder, or an id on the
            Hugging Face hub.
        revision: Branch, tag or commit on the hub.
        dtype: "auto" (as stored), "float32", "bfloat16" or "float16". The tiny model runs in float32 whatever is said.
        device: "cpu", "cuda:1", ...; the first accelerator if not given.
        device_map: "auto", "balanced", ...: spread the model over several accelerators, by the package accelerate.
        attn_implementation: "sdpa" or "eager": attention that takes a mask.
        local_files_only: Do not ask the hub.

    Raises:
        ValueError: If there is no such model, its family is not known, or its processor is missing.
    """
    precision = _dtype(dtype)
    _check_choices(attn_implementation, device, device_map)
    is_shipped = name in SHIPPED
    path = str(SHIPPED.get(name, name))
    # Refused, not asked about: code of a checkpoint never runs.
    options = {
        "revision": revision,
        "local_files_only": local_files_only or is_shipped,
        "trust_remote_code": False,
    }
    adapter = refuse_adapter_files(path, options)
    config = _load(path, lambda: transformers.AutoConfig.from_pretrained(path, **options))
    refuse_quantized(config, path)
    family = _family_of(config, name, path, options)
    model_class = find_class(family.model_class)
    refuse_capped_attention(config.get_text_config(), attn_implementation)
    processor, image_processor = load_processor(path, family, options)  # before the weights, which take minutes
    model, info = _load(
        path,
        lambda: model_class.from_pretrained(
            path,
            config=config,
            dtype=torch.float32 if is_shipped else precision,
            attn_implementation=attn_implementation,
            use_safetensors=True,
            output_loading_info=True,
            **options,
            **({} if device_map is None else {"device_map": device_map}),
        ),
    )
    _refuse_missing(path, info)
    if device_map is None:
        model = _move(model, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return wrap_model(model, processor, (adapter, image_processor))


def wrap_model(model: Any, processor: Any, checked: tuple[Checked, ...] = ()) -> VisionLanguageModel:
    """Find the parts of a loaded model, and set it to evaluation.

    Args:
        model: A model of one of the known families, from transformers.
        processor: Its processor, with a fast tokenizer. What it does not say about image tokens is filled in from the
            model's configuration.
        checked: What was looked at before.

    Raises:
        ValueError: If the family is not known, the decoder is not where it should be, the tokenizer is slow, processor
            and model do not fit, or the model is wrapped or has adapters.
    """
    refuse_wrapped(model)
    family = family_of(getattr(model, "config", None), type(model).__name__)
    attention = model.config.get_text_config()._attn_implementation
    if attention not in ATTENTION:
        raise ValueError(f"model has {attention!r} attention, wanted one of {ATTENTION}: others take no mask.")
    refuse_capped_attention(model.config.get_text_config(), attention)
    if not processor.tokenizer.is_fast:
        raise ValueError(
            f"processor of {family.title} has a slow tokenizer; offsets need a fast one: add its tokenizer.json."
        )
    decoder = _find_decoder(model, family)
    image_token_id = getattr(model.config, "image_token_id", None) or model.config.image_token_index
    rows = model.get_input_embeddings().weight.shape[0]
    settings = complete_image_settings(processor, model.config)
    text = check_tokenizer(processor.tokenizer, rows, image_token_id, family.image_token or family.image_mark)
    if hasattr(processor, "image_token_id") and not family.image_token:  # found by a tokenizer that may have split it
        processor.image_token_id = image_token_id
    return VisionLanguageModel(
        model=model.eval(),
        processor=processor,
        family=family,
        decoder=decoder,
        image_token_id=image_token_id,
        checked=(*checked, *settings, *text, *check_handed_on(processor)),
    )


def _family_of(config: Any, name: str, path: str, options: dict[str, Any]) -> Family:
    """Find the family of a checkpoint.

    Raises:
        UnknownFamilyError: If there is none, with a report where an entry may help.
    """
    try:
        return family_of(config, name)
    except UnknownFamilyError as error:
        if not error.is_refused:
            error.report = describe_unknown(config, path, options)
        raise


def _check_choices(attn_implementation: str, device: str | None, device_map: str | None) -> None:
    if attn_implementation not in ATTENTION:
        raise ValueError(
            f"attn_implementation must be 'sdpa' or 'eager', got {attn_implementation!r}: others take no mask."
        )
    if device is not None and device_map is not None:
        raise ValueError(f"Give device ({device!r}) or device_map ({device_map!r}), not both.")


def _load(path: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise ValueError(
            f"model {path!r} could not be loaded: {_first_line(error)} Give a folder with config.json and safetensors "
            f"weights, an id on the hub (and a network), or one of {', '.join(SHIPPED)}."
        ) from error


def _refuse_missing(path: str, info: dict[str, Any]) -> None:
    """Refuse weights that are not all there: transformers would fill the gaps with random values."""
    missing = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
    if missing:
        raise ValueError(
            f"model {path!r} lacks {len(missing)} weights of its architecture, or has them in another shape (first "
            f"{missing[0]!r}): its answers would come from random values. Download it again."
        )


def _move(model: Any, device: str) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ValueError(f"device {device!r} cannot be used here ({_first_line(error)}): choose another.") from error


def _find_decoder(model: Any, family: Family) -> Any:
    for path in family.decoder:
        part: Any = model
        for name in path:
            part = getattr(part, name, None)
        if all(hasattr(part, name) for name in ("layers", "norm", "rotary_emb")) and _has_known_rotations(part):
            return part
    places = " or ".join(".".join(path) for path in family.decoder)
    raise ValueError(
        f"{type(model).__name__} has no decoder with layers, norm and one rotary_emb for all blocks, or for each kind "
        f"of them, at {places}: use a version of transformers between 4.57 and 5, or correct the family's entry "
        f"({family.key!r})."
    )


def _has_known_rotations(decoder: Any) -> bool:
    """Whether one module makes the rotations of all blocks, alike or by the kind of block."""
    parameters = inspect.signature(decoder.rotary_emb.forward).parameters
    is_by_kind = _rotates_by_kind(decoder.rotary_emb) and hasattr(decoder.config, "layer_types")
    return (len(parameters) == 2 or is_by_kind) and not hasattr(decoder, "rotary_emb_local")


def _rotates_by_kind(rotary: nn.Module) -> bool:
    return "layer_type" in inspect.signature(rotary.forward).parameters


def _dtype(name: str) -> Any:
    known = {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise ValueError(f"dtype must be one of {sorted(known)}, got {name!r}.")
    return known[name]


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
