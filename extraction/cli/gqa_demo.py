"""The whole extraction in one command: a folder in the layout of GQA, a small LLaVA, the baseline and knockouts."""

from pathlib import Path
from typing import Annotated

import typer

from extraction.cli.run import knockout, run
from extraction.cli.store import info
from extraction.tiny.commands import make_gqa
from pid_jax.runtime.console import out


def gqa_demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for gqa/ and stores/; what is there is reused.")],
    model: Annotated[str, typer.Option(help="tiny-gqa-8 or tiny-gqa-6.")] = "tiny-gqa-8",
    per_task: Annotated[int, typer.Option(help="Questions a task at most.")] = 1000,
    edges: Annotated[str, typer.Option(help="From-to pairs of token groups, with commas.")] = "image-question",
    windows: Annotated[str, typer.Option(help="Windows of blocks, as for `knockout`.")] = "all,sliding:3",
) -> None:
    """Generate a folder in the layout of GQA, and extract a small LLaVA on its six tasks, whole and under knockouts."""
    data, stores = out_dir / "gqa", out_dir / "stores"
    baseline = str(stores / "baseline")
    make_gqa(data)
    run(baseline, model=model, gqa=data, per_task=per_task, max_new_tokens=2)
    knockout(baseline, str(stores), edges=edges, windows=windows)
    info(baseline)
    out.print(f"Next: pid-jax study --store {baseline} --knockout ..., or ActivationStore.open in Python.")
