"""What is looked at while a model is loaded: adapters beside its weights, and how its processor counts image tokens.

Adapters (LoRA and others) are weights that count only if they are merged into the model. By what a LLaVA's processor
counts image tokens, old checkpoints leave to the model's configuration.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

_CONFIG = "adapter_config.json"
_NOT_RAISED = ("gated_repo", "missing_entries", "connection_errors")
# Tokens that a vision tower puts before its patches.
_ADDED_BY_TOWER = {"clip_vision_model": 1, "siglip_vision_model": 0}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One thing that was looked at.

    Attributes:
        subject: What it is, in a word or two.
        finding: What was found, and what follows from it.
        is_notable: Whether something is not as most checkpoints have it, so that a run says it before it starts.
        is_failed: Whether the model cannot be extracted for it.
    """

    subject: str
    finding: str
    is_notable: bool = False
    is_failed: bool = False


def refuse_adapter_files(path: str, options: dict[str, Any]) -> Checked:
    """Refuse a checkpoint with an adapter in it.

    transformers applies such an adapter where peft can be imported and leaves it out in silence where not, so the same
    command would extract the states of two different models.

    Args:
        path: Folder or id on the hub.
        options: `revision` and `local_files_only`.

    Raises:
        ValueError: If there is an adapter.
    """
    where = {name: options[name] for name in ("revision", "local_files_only")}
    try:
        found = cached_file(path, _CONFIG, **where, **{f"_raise_exceptions_for_{kind}": False for kind in _NOT_RAISED})
    except OSError:  # there is no such model, which is said where it is loaded
        found = None
    if found is None:
        return Checked(subject="adapter", finding=f"none: the checkpoint has no {_CONFIG}")
    base = _base_of(Path(found))
    raise ValueError(
        f"model {path!r} holds an adapter ({_CONFIG}{base}), which would count only where peft is installed: merge it "
        "into the weights with merge_and_unload() of peft, save the merged model and extract that; or, for the model "
        f"without the adapter, give a copy of the folder without {_CONFIG}."
    )


def refuse_wrapped(model: Any) -> None:
    """Refuse a model in a wrapper, with adapters in its layers, or with quantized weights.

    Raises:
        ValueError: If it is one, with what to give instead.
    """
    kind = type(model)
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        remedy = "give model.merge_and_unload(), which adds the adapter to the weights"
    elif getattr(model, "_hf_peft_config_loaded", False) or getattr(model, "peft_config", None):
        remedy = "load it by peft.PeftModel.from_pretrained(base, adapter) and give its merge_and_unload()"
    elif getattr(model, "is_quantized", False) or getattr(model, "hf_quantizer", None) is not None:
        remedy = "its weights are quantized: give the original, or what model.dequantize() returns"
    elif kind.__name__ in ("DataParallel", "DistributedDataParallel"):
        remedy = "give model.module"
    elif kind.__name__ == "OptimizedModule":
        remedy = "give the model that torch.compile was called with, model._orig_mod"
    else:
        return
    names = ", ".join(repr(name) for name in getattr(model, "peft_config", None) or ())
    what = f"{kind.__name__} with adapter {names}" if names else kind.__name__
    raise ValueError(f"model must be a plain model of transformers, got {what}: {remedy}.")


def refuse_quantized(config: Any, path: str) -> None:
    """Refuse a checkpoint with quantized weights.

    Its states are those of another model, and no self-test measures by how much: they compare ways to compute the same
    in one precision, where bitsandbytes and others round within each product in ways of their own.

    Raises:
        ValueError: If it is one.
    """
    found = getattr(config, "quantization_config", None)
    if found is None:
        return
    found = found if isinstance(found, dict) else found.to_dict()
    bits = next((f", {n} bits" for n in (4, 8) if found.get(f"load_in_{n}bit") or found.get("bits") == n), "")
    raise ValueError(
        f"model {path!r} has quantized weights (quantization_config {found.get('quant_method', 'unknown')!r}{bits}), "
        "whose states are not those of the model that it was made from: extract the original, in dtype='bfloat16' "
        "(--dtype bfloat16) or over several devices (--device-map auto) if memory is short; or save a copy after "
        "model.dequantize(), and extract that."
    )


def refuse_capped_attention(text_config: Any, attention: str) -> None:
    """Refuse sdpa where the decoder caps the logits of its attention, which sdpa cannot do.

    Raises:
        ValueError: If it does.
    """
    cap = getattr(text_config, "attn_logit_softcapping", None)
    if cap is not None and attention == "sdpa":
        raise ValueError(
            f"attn_implementation must be 'eager' for a decoder of the type {text_config.model_type!r}, which caps the "
            f"logits of its attention (at {cap:g}), got 'sdpa': it has no such cap."
        )


def _base_of(config: Path) -> str:
    try:
        base = json.loads(config.read_text()).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        return ""
    return f", made for {base!r}" if base else ""


def complete_image_settings(processor: Any, config: Any) -> list[Checked]:
    """Fill in what the processor does not say from the model's configuration.

    Args:
        processor: Changed in place. One without these attributes counts in another way, and is left alone.
        config: The model's configuration.

    Returns:
        What was found; nothing of a processor that counts in another way.

    Raises:
        ValueError: If the processor says one thing and the configuration another.
    """
    if not hasattr(processor, "num_additional_image_tokens"):
        return []
    tower, filled = config.vision_config, []
    strategy, added = config.vision_feature_select_strategy, _ADDED_BY_TOWER.get(tower.model_type)
    known = {"patch_size": getattr(tower, "patch_size", None), "vision_feature_select_strategy": strategy}
    for name, value in known.items():
        if getattr(processor, name, None) is None and value is not None:
            setattr(processor, name, value)
            filled.append(f"{name} {value!r}")
    if not processor.num_additional_image_tokens and added and processor.vision_feature_select_strategy == strategy:
        processor.num_additional_image_tokens = added  # 0 is also what a processor says that was never told
        filled.append(f"num_additional_image_tokens {added}")
    own = _beside_patches(processor.num_additional_image_tokens, processor.vision_feature_select_strategy)
    wanted = None if added is None else _beside_patches(added, strategy)
    if known["patch_size"] not in (None, processor.patch_size) or wanted not in (None, own):
        raise ValueError(
            f"processor has patch_size {processor.patch_size}, and counts {own} tokens beside those of the patches; "
            f"the model's configuration has patch_size {known['patch_size']}, and makes {wanted}: the count of image "
            "tokens would be wrong. Use the processor files of the same checkpoint."
        )
    finding = f"{', '.join(filled)} taken from the model's configuration" if filled else "all given by the processor"
    return [Checked(subject="image settings", finding=finding, is_notable=bool(filled))]


def _beside_patches(added: int, strategy: str) -> int:
    """Count the image tokens beside those of the patches; the strategy "default" drops the first token of the tower."""
    return added - (strategy == "default")
