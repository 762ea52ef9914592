"""By what a LLaVA's processor counts image tokens; old checkpoints leave it to the model's configuration."""

from typing import Any

from extraction.checked import Checked

# Tokens that a vision tower puts before its patches.
_ADDED_BY_TOWER = {"clip_vision_model": 1, "siglip_vision_model": 0}


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
    if not hasattr(processor, "vision_feature_select_strategy"):
        return []
    tower = config.vision_config
    known = {
        "patch_size": getattr(tower, "patch_size", None),
        "vision_feature_select_strategy": getattr(config, "vision_feature_select_strategy", None),
        "num_additional_image_tokens": _ADDED_BY_TOWER.get(tower.model_type),
    }
    filled = []
    for name, value in known.items():
        own = getattr(processor, name, None)
        if value is None or own == value:
            continue
        if own:  # 0 additional tokens is also what a processor says that was never told
            raise ValueError(
                f"processor has {name} {own!r}, and the model's configuration {value!r}: the count of image tokens "
                "would be wrong. Use the processor files of the same checkpoint."
            )
        setattr(processor, name, value)
        filled.append(f"{name} {value!r}")
    finding = f"{', '.join(filled)} taken from the model's configuration" if filled else "all given by the processor"
    return [Checked(subject="image settings", finding=finding, is_notable=bool(filled))]
