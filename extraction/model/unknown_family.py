"""What is known of a model whose family is not: what was looked for, and an entry of a family to fill in."""

import inspect
from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from extraction.errors import shown
from extraction.model.checks import Checked
from extraction.model.families import FAMILIES
from extraction.model.family import BIDIRECTIONAL_IMAGE, CAUSAL
from extraction.model.family_file import write_entry

_PARTS = ("layers", "norm", "rotary_emb")
_IMAGE_TOKEN = ("image_token_id", "image_token_index", "img_context_token_id", "boi_token_id")
_UNKNOWN = "?"


def describe_unknown(config: Any, path: str, options: dict[str, Any]) -> str:
    """Report on a checkpoint of an unknown family; no weights are loaded.

    Args:
        config: Its configuration.
        path: Folder or id on the hub.
        options: Options of `from_pretrained`.

    Returns:
        Lines: what was found, and the text of a file for `--family`.
    """
    model, model_class, problem = _build(config)
    decoders = _find_decoders(model) if model is not None else {}
    token, token_text = _image_token(config, path, options)
    processor = _processor_class(path, options)
    found = [
        Checked(subject="model type", finding=f"{config.model_type!r}, not in the table of families"),
        Checked(subject="model class", finding=f"{model_class}{problem}"),
        Checked(subject="processor", finding=processor or "the checkpoint names none"),
        Checked(subject="image token", finding=token),
        *(_describe_decoder(model, decoders) if model is not None else ()),
    ]
    width = max(len(one.subject) for one in found)
    lines = [f"  {one.subject:<{width}}  {one.finding}" for one in found]
    entry = _entry(config, model, decoders, model_class, processor, token_text)
    return "\n".join(
        [
            "What was looked for:",
            *lines,
            f"An entry to check, and to complete where it has {_UNKNOWN!r}; use it by --family FILE:",
            "",
            write_entry(entry),
        ]
    )


def _build(config: Any) -> tuple[Any, str, str]:
    """Build the model without memory for its weights; return it, the name of its class, and what went wrong."""
    name = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(config.model_type, "")
    name = name[0] if isinstance(name, tuple) else name
    if not name or not hasattr(transformers, name):
        return None, "", f"transformers {transformers.__version__} has none that reads images and text and writes text"
    try:
        with torch.device("meta"):
            return getattr(transformers, name)(config), name, ""
    except Exception as error:  # whatever the code of another library does with a configuration
        return None, name, f"; cannot be built from the configuration ({type(error).__name__}: {shown(error)})"


def _find_decoders(model: Any) -> dict[str, Any]:
    """Find modules with blocks, a norm and rotations, outermost first; towers of images have no embedding of tokens."""
    found = {name: one for name, one in model.named_modules() if all(hasattr(one, part) for part in _PARTS)}
    return {name: one for name, one in found.items() if hasattr(one, "embed_tokens")}


def _describe_decoder(model: Any, decoders: dict[str, Any]) -> list[Checked]:
    tried = sorted({".".join(path) for family in FAMILIES.values() for path in family.decoder})
    where = ", ".join(decoders) or f"none with {', '.join(_PARTS)} and embed_tokens: knockouts and states need one"
    found = [Checked(subject="decoder", finding=f"{where} (known families: {', '.join(tried)})")]
    for decoder in list(decoders.values())[:1]:
        given = [name for name in inspect.signature(decoder.rotary_emb.forward).parameters if name != "self"]
        kinds = sorted(set(getattr(decoder.config, "layer_types", None) or ()))
        window = getattr(decoder.config, "sliding_window", None)
        blocks = f"{len(decoder.layers)}, {', '.join(kinds) or 'of one kind'}, window {window}"
        found += [
            Checked(
                subject="rotation", finding=f"rotary_emb({', '.join(given)}); wanted (x, position_ids[, layer_type])"
            ),
            Checked(subject="blocks", finding=blocks),
        ]
        first = decoder.layers[0]
        if not hasattr(first, "self_attn"):
            found.append(Checked(subject="attention", finding=f"{type(first).__name__} has no self_attn"))
        if any("cross_attn" in name for name, _ in decoder.named_modules()):
            found.append(
                Checked(subject="attention", finding="some blocks have cross-attention, which is not supported")
            )
    return found


def _image_token(config: Any, path: str, options: dict[str, Any]) -> tuple[str, str]:
    """Find the image's token; return what to say of it, and its text."""
    for name in _IMAGE_TOKEN:
        number = getattr(config, name, None)
        if isinstance(number, int):
            text = _text_of(number, path, options)
            return f"{name} {number}, {text!r}", text
    return f"the configuration has none of {', '.join(_IMAGE_TOKEN)}", _UNKNOWN


def _text_of(number: int, path: str, options: dict[str, Any]) -> str:
    try:
        text = transformers.AutoTokenizer.from_pretrained(path, **options).convert_ids_to_tokens(number)
    except Exception:  # no tokenizer, or one that this version cannot read
        text = None
    return text or _UNKNOWN


def _processor_class(path: str, options: dict[str, Any]) -> str:
    for mixin, name in (
        (transformers.ProcessorMixin, "get_processor_dict"),
        (transformers.ImageProcessingMixin, "get_image_processor_dict"),
    ):
        try:
            saved, _ = getattr(mixin, name)(path, **options)
        except (OSError, ValueError, TypeError):
            continue
        if saved.get("processor_class"):
            return str(saved["processor_class"])
    return ""


def _entry(
    config: Any, model: Any, decoders: dict[str, Any], model_class: str, processor: str, mark: str
) -> dict[str, Any]:
    """Fill in what can be told from the classes."""
    inputs = set(inspect.signature(model.forward).parameters) if model is not None else set()
    inner = getattr(model, "model", None)
    inputs |= set(inspect.signature(inner.forward).parameters) if inner is not None else set()
    kinds = [name for name in ("mm_token_type_ids", "token_type_ids") if name in inputs]
    return {
        "model_type": config.model_type,
        "title": config.model_type,
        "model_class": model_class or _UNKNOWN,
        "processor_class": processor or _UNKNOWN,
        "image_mark": mark,
        "image_text": mark,
        "decoder": [name.split(".") for name in list(decoders)[:1]] or [[_UNKNOWN]],
        "has_own_positions": hasattr(inner, "get_rope_index"),
        "attention": BIDIRECTIONAL_IMAGE if "token_type_ids" in inputs else CAUSAL,
        "token_inputs": kinds,
    }
