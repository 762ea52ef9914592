"""Adapters (LoRA and others): weights that count only if they are merged into the model."""

import json
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from extraction.model.checked import Checked

_CONFIG = "adapter_config.json"
_NOT_RAISED = ("gated_repo", "missing_entries", "connection_errors")


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
    """Refuse a model in a wrapper, or with adapters in its layers: its blocks and weights are not where they should be.

    Raises:
        ValueError: If it is one, with what to give instead.
    """
    kind = type(model)
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        remedy = "give model.merge_and_unload(), which adds the adapter to the weights"
    elif getattr(model, "_hf_peft_config_loaded", False) or getattr(model, "peft_config", None):
        remedy = "load it by peft.PeftModel.from_pretrained(base, adapter) and give its merge_and_unload()"
    elif kind.__name__ in ("DataParallel", "DistributedDataParallel"):
        remedy = "give model.module"
    elif kind.__name__ == "OptimizedModule":
        remedy = "give the model that torch.compile was called with, model._orig_mod"
    else:
        return
    names = ", ".join(repr(name) for name in getattr(model, "peft_config", None) or ())
    what = f"{kind.__name__} with adapter {names}" if names else kind.__name__
    raise ValueError(f"model must be a plain model of transformers, got {what}: {remedy}.")


def _base_of(config: Path) -> str:
    try:
        base = json.loads(config.read_text()).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        return ""
    return f", made for {base!r}" if base else ""
