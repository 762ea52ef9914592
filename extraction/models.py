"""Load a LLaVA-1.5 or LLaVA-1.6 and find its parts."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn

from extraction.tiny import SHIPPED

_CLASSES = {"llava": "LlavaForConditionalGeneration", "llava_next": "LlavaNextForConditionalGeneration"}


@dataclass(frozen=True, kw_only=True)
class VisionLanguageModel:
    """A model, its processor, and the parts that hooks attach to.

    Attributes:
        model: In evaluation mode.
        processor: Its processor, padding on the left.
        layers: Decoder blocks.
        norm: The final norm of the decoder.
        image_token_id: Id that stands at every image position.
    """

    model: Any
    processor: Any
    layers: nn.ModuleList
    norm: nn.Module
    image_token_id: int

    @property
    def device(self) -> torch.device:
        """Where the inputs go."""
        return self.model.device

    @property
    def width(self) -> int:
        """Length of a hidden state."""
        return self.model.config.get_text_config().hidden_size

    def attention(self, index: int) -> nn.Module:
        """Self-attention of a decoder block."""
        return self.layers[index].get_submodule("self_attn")

    @property
    def max_positions(self) -> int:
        """Longest sequence the decoder was made for."""
        return self.model.config.get_text_config().max_position_embeddings


def load_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str | None = None,
    attn_implementation: str = "sdpa",
    local_files_only: bool = False,
) -> VisionLanguageModel:
    """Load a model and its processor; safetensors only, no remote code.

    Args:
        name: A small model that ships with this package ("tiny", "tiny-gqa-8", "tiny-gqa-6"), a folder, or an id on the
            Hugging Face hub.
        revision: Branch, tag or commit on the hub.
        dtype: "auto" (as stored), "float32", "bfloat16" or "float16". Shipped models run in float32 whatever is said.
        device: "cpu", "cuda", ...; the first accelerator if not given.
        attn_implementation: "sdpa" or "eager": attention that takes a mask.
        local_files_only: Do not ask the hub.

    Raises:
        ValueError: If there is no such model, it is no LLaVA, or its processor is missing.
    """
    precision = _dtype(dtype)
    if attn_implementation not in ("sdpa", "eager"):
        raise ValueError(
            f"attn_implementation must be 'sdpa' or 'eager', got {attn_implementation!r}: others take no mask."
        )
    is_shipped = name in SHIPPED
    path = str(SHIPPED.get(name, name))
    options = {"revision": revision, "local_files_only": local_files_only or is_shipped}
    config = _load(path, lambda: transformers.AutoConfig.from_pretrained(path, **options))
    model_class = _class_of(config, name)
    model = _load(
        path,
        lambda: model_class.from_pretrained(
            path,
            config=config,
            dtype=torch.float32 if is_shipped else precision,
            attn_implementation=attn_implementation,
            use_safetensors=True,
            **options,
        ),
    )
    model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
    return wrap_model(model, _load_processor(path, config, options))


def wrap_model(model: Any, processor: Any) -> VisionLanguageModel:
    """Find the parts of a loaded model.

    Raises:
        ValueError: If the model has no decoder where a LLaVA has one.
    """
    decoder = _find_decoder(model)
    processor.tokenizer.padding_side = "left"
    return VisionLanguageModel(
        model=model,
        processor=processor,
        layers=decoder.layers,
        norm=decoder.norm,
        image_token_id=getattr(model.config, "image_token_id", None) or model.config.image_token_index,
    )


def fingerprint(vlm: VisionLanguageModel) -> dict[str, str]:
    """Identify what decides the states: kind of device, hashes of configuration, processor and parameters.

    Of each parameter the name, the shape and the first 256 values are hashed.
    """
    model = vlm.model
    parameters = hashlib.sha256()
    for name, value in model.state_dict().items():
        parameters.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        parameters.update(value.flatten()[:256].float().cpu().numpy().tobytes())
    config = {k: v for k, v in model.config.to_dict().items() if k not in _INCIDENTAL}
    return {
        "config_sha256": hashlib.sha256(repr(sorted(config.items(), key=lambda kv: kv[0])).encode()).hexdigest(),
        "parameters_sha256": parameters.hexdigest(),
        "processor_sha256": _processor_hash(vlm.processor),
        "device": vlm.device.type,
    }


def _processor_hash(processor: Any) -> str:
    image = {k: v for k, v in processor.image_processor.to_dict().items() if k not in _INCIDENTAL}
    text = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    text = {k: v for k, v in text.items() if k not in ("padding", "truncation")}  # set anew by every call
    return hashlib.sha256(json.dumps([image, text], sort_keys=True, default=str).encode()).hexdigest()


_INCIDENTAL = {"_name_or_path", "transformers_version", "torch_dtype", "dtype"}


def _load(path: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"model {path!r} could not be loaded: {_first_line(error)} Give a folder with config.json and safetensors "
            f"weights, an id on the hub (and a network), or one of {', '.join(SHIPPED)}."
        ) from error


def _class_of(config: Any, name: str) -> Any:
    if config.model_type not in _CLASSES:
        raise ValueError(
            f"model {name!r} is a {config.model_type!r}; wanted LLaVA-1.5 ('llava') or LLaVA-1.6 ('llava_next')."
        )
    return getattr(transformers, _CLASSES[config.model_type])


def _load_processor(path: str, config: Any, options: dict[str, Any]) -> Any:
    """Load the processor, with the image processor that needs no torchvision where there is one."""
    stem = "LlavaNext" if config.model_type == "llava_next" else "Llava"
    image_stem = "LlavaNextImageProcessor" if config.model_type == "llava_next" else "CLIPImageProcessor"
    image_class = getattr(transformers, f"{image_stem}Pil", None) or getattr(transformers, image_stem)
    try:
        image_processor = image_class.from_pretrained(path, **options)
        processor_class = getattr(transformers, f"{stem}Processor")
        processor = processor_class.from_pretrained(path, image_processor=image_processor, **options)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"model {path!r} has no processor that loads: {_first_line(error)} Copy the processor files of the "
            "original checkpoint into it: processor_config.json or preprocessor_config.json, tokenizer.json, "
            "tokenizer_config.json."
        ) from error
    if not processor.tokenizer.is_fast:
        raise ValueError(f"model {path!r} has a slow tokenizer; offsets need a fast one: add its tokenizer.json.")
    return processor


def _find_decoder(model: Any) -> Any:
    for path in (("model", "language_model"), ("language_model", "model")):
        part = model
        for name in path:
            part = getattr(part, name, None)
        if part is not None and hasattr(part, "layers") and hasattr(part, "norm"):
            return part
    raise ValueError(f"{type(model).__name__} has no decoder at model.language_model or language_model.model.")


def _dtype(name: str) -> Any:
    known = {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise ValueError(f"dtype must be one of {sorted(known)}, got {name!r}.")
    return known[name]


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
