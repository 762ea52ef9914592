"""`pid-extract`: from models and images to activation stores."""

import os

from extraction.cli.run import check, decision, gqa_demo, knockout, run
from extraction.cli.store import info, merge, verify
from extraction.tiny.commands import make_gqa, train_tiny
from pid_jax.runtime.console import make_app, run_app

app = make_app("Extract hidden states of vision-language models into activation stores, with attention knockouts.")
for command in (run, knockout, decision, check, verify, info, merge, make_gqa, train_tiny, gqa_demo):
    app.command(command.__name__.replace("_", "-"))(command)


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run_app(app)
