"""Models that are not what they seem to be: wrapped by another library, or changed by adapters."""

from typing import Any


def refuse_wrapped(model: Any) -> None:
    """Refuse a model in a wrapper, or with adapters in its layers: its blocks and weights are not where they should be.

    Raises:
        ValueError: If it is one, with what to give instead.
    """
    kind = type(model)
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        remedy = "give model.merge_and_unload(), which adds the adapter to the weights"
    elif getattr(model, "_hf_peft_config_loaded", False):
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
