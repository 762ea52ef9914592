"""Write hidden states with the tools that researchers use. Runs in the environment of requirements.txt."""

import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

SAMPLES, TOKENS, WIDTH, LAYERS, WORDS = 12, 7, 16, 3, 40


def tokens() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, WORDS, size=(SAMPLES, TOKENS)))


def small_model() -> Any:
    """Make a GPT-2 with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_layer=LAYERS, n_embd=WIDTH, n_head=2, vocab_size=WORDS, n_positions=TOKENS)
    return GPT2LMHeadModel(config).eval()


def write_plain(folder: Path) -> None:
    """The outputs of the blocks by transformers alone, to compare with."""
    found: list[np.ndarray] = []
    model = small_model()
    for block in model.transformer.h:
        hook = lambda module, given, out: found.append((out[0] if isinstance(out, tuple) else out).numpy())  # noqa: E731
        block.register_forward_hook(hook)
    with torch.no_grad():
        model(tokens())
    np.save(folder / "plain.npy", np.stack(found))


def write_transformer_lens(folder: Path) -> None:
    """The dict of an ActivationCache, as users save it by torch.save."""
    from transformer_lens.model_bridge import TransformerBridge

    model = small_model()
    model.save_pretrained(folder / "model")
    _, cache = TransformerBridge.boot_transformers(str(folder / "model"), hf_model=model).run_with_cache(tokens())
    torch.save(cache.cache_dict, folder / "transformer_lens.pt")


def write_nnsight(folder: Path) -> None:
    """Saved proxies of a traced model, as users save them: a dict of tensors by the name of the module."""
    from nnsight import NNsight

    model = NNsight(small_model())
    saved = {}
    with torch.no_grad(), model.trace(tokens()):
        for layer in range(LAYERS):
            output = model.transformer.h[layer].output
            saved[f"transformer.h.{layer}"] = (output[0] if isinstance(output, tuple) else output).save()
    torch.save({name: value.detach() for name, value in saved.items()}, folder / "nnsight.pt")


def write_vlm_lens(folder: Path) -> None:
    """The database of VLM-Lens, which is on no package index: its table and its way to write a tensor."""
    from io import BytesIO

    states = np.random.default_rng(1).normal(size=(LAYERS, SAMPLES, WIDTH)).astype(np.float32)
    names = ["name", "architecture", "image_path", "image_id", "prompt", "label", "layer", "pooling_method"]
    columns = ", ".join([*names, "tensor_dim", "tensor"])
    with sqlite3.connect(folder / "vlm_lens.db") as database:
        database.execute(f"CREATE TABLE tensors ({columns})")
        for sample in range(SAMPLES):
            for layer in range(LAYERS):
                content = BytesIO()
                torch.save(torch.from_numpy(states[layer, sample][None]), content)
                row = ("m", "llava", f"{sample}.png", sample, "What is it?", "ab"[sample % 2])
                row += (f"language_model.layers.{layer}", "mean", WIDTH, content.getvalue())
                database.execute(f"INSERT INTO tensors ({columns}) VALUES ({', '.join('?' * len(row))})", row)
    np.save(folder / "vlm_lens.npy", states)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for write in (write_plain, write_transformer_lens, write_nnsight, write_vlm_lens):
        write(target)
