"""By what a LLaVA's processor counts image tokens; old checkpoints leave it to the model's configuration."""

from typing import Any

from extraction.model.checked import Checked

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
