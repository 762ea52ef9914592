"""Tell two models apart by what decides their states."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from extraction.model.families import BUILT_IN
from extraction.model.load import VisionLanguageModel
from extraction.model.processors import handed_on

_SPREAD = 4096
_INCIDENTAL = {"_name_or_path", "transformers_version", "torch_dtype", "dtype"}


def fingerprint(vlm: VisionLanguageModel) -> dict[str, str]:
    """Identify what decides the states: kind of device, hashes of configuration, processor and parameters.

    Of each parameter the name, the shape and some thousand values spread over it are hashed; a file of the same size
    that differs elsewhere passes for the same.
    """
    model = vlm.model
    parameters = hashlib.sha256()
    for name, value in model.state_dict().items():
        parameters.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        if not value.is_meta:  # offloaded: its values are on disk
            spread = value.flatten()[:: max(1, value.numel() // _SPREAD)]
            parameters.update(spread.float().cpu().numpy().tobytes())
    config = {k: v for k, v in model.config.to_dict().items() if k not in _INCIDENTAL}
    return {
        "config_sha256": hashlib.sha256(repr(sorted(config.items(), key=lambda kv: kv[0])).encode()).hexdigest(),
        "parameters_sha256": parameters.hexdigest(),
        "processor_sha256": _processor_hash(vlm.processor),
        "device": vlm.device.type,
        **({} if vlm.family.key in BUILT_IN else {"family": json.dumps(asdict(vlm.family), sort_keys=True)}),
    }


def _processor_hash(processor: Any) -> str:
    """Hash what decides pixels and tokens: settings of the processor, of its image processor, and the tokenizer."""
    own = {k: v for k, v in processor.to_dict().items() if k not in (*_INCIDENTAL, "image_processor", "chat_template")}
    image = {k: v for k, v in processor.image_processor.to_dict().items() if k not in _INCIDENTAL}
    text = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    text = {k: v for k, v in text.items() if k not in ("padding", "truncation")}  # `WHOLE_TEXT` overrides them
    parts = [own, image, text, handed_on(processor)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
