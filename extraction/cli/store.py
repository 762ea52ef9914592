"""Commands of `pid-extract` that look at stores: verify, info, merge. They need no PyTorch."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pid_jax.runtime.console import err, fraction_bar, out, working
from pid_jax.store import ActivationStore
from pid_jax.store.info import StoreInfo, TaskInfo, count_versions, describe_parity, describe_store
from pid_jax.store.merge import merge_stores

Store = Annotated[str, typer.Argument(help="The store: a folder, or a URL such as s3://bucket/prefix.")]

_NONE = "–"
_COLUMNS: dict[str, Callable[[TaskInfo], str]] = {
    "rows": lambda task: str(task.count),
    "accuracy": lambda task: _number(task.accuracy, 4),
    "majority": lambda task: _number(task.majority_rate, 4),
    "gold\nbits": lambda task: _number(task.gold_entropy, 3),
    "answers\nbits": lambda task: _number(task.predicted_entropy, 3),
    "images": lambda task: _number(task.images, 0),
    "image\ntokens": lambda task: _number(task.n_image, 1),
    "question\ntokens": lambda task: _number(task.n_question, 1),
}


def verify(store: Store) -> None:
    """Check every byte and every id of a store; exit code 1 if anything is wrong."""
    opened = ActivationStore.open(store)
    with working(f"Checking {store}"):
        problems = opened.verify()
    for problem in problems:
        err.print(f"- {problem}")
    if problems:
        raise ValueError(f"{store}: {len(problems)} problems found.")
    report_failures(opened)
    failed = f" and {len(opened.failures)} recorded failures" if opened.failures else ""
    shards = opened.manifest.shard_count
    out.print(f"{store}: {len(opened.ids)} samples{failed} in {shards} shards, every id once, every byte as written.")
    if versions := _versions(count_versions(opened, opened.headers.values())):
        out.print(f"Made with {versions}.")


def info(store: Store, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what a store holds: model, layers, failures, accuracy and answers of each task."""
    found = describe_store(ActivationStore.open(store))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1, ensure_ascii=False))
        return
    _print_whole(_facts(found))
    if found.tasks:
        _print_whole(_tasks(found.tasks))


def merge(
    stores: Annotated[list[str], typer.Argument(help="The stores: folders or URLs.")],
    out_dir: Annotated[str, typer.Option("--out", help="Where the merged store goes; a merge begun there goes on.")],
) -> None:
    """Make one store from several: parts of one extraction, made on several machines."""
    with fraction_bar("Merging") as advance:
        merged = merge_stores(stores, out_dir, progress=advance)
    missing = merged.missing_shards()
    state = (
        f"{len(missing)} shards are missing in all of them: run the extraction to make them" if missing else "complete"
    )
    out.print(f"{out_dir}: {merged.manifest.shard_count - len(missing)} shards from {len(stores)} stores; {state}.")


def report_failures(store: ActivationStore) -> None:
    """List the samples that have no row, and say how to try them again."""
    for failure in store.failures:
        err.print(f"{failure.id}: {failure.stage}: {failure.message}")
    if store.failures:
        shards = ", ".join(str(store.shard_path(i)) for i, header in store.headers.items() if header.failures)
        err.print(
            f"{store.path}: {len(store.failures)} samples could not be extracted and are recorded in the store. To try "
            f"them again after a repair, delete {shards} and run the same command.",
        )


def report_accuracies(stores: Sequence[ActivationStore]) -> None:
    """Compare conditions: share of right answers, a line a store and a column a task."""
    found = [describe_store(store) for store in stores]
    tasks = list(dict.fromkeys(task.task for one in found for task in one.tasks))
    table = Table(title="Accuracy", title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("condition", no_wrap=True)
    for task in tasks:
        table.add_column(Text(task), justify="right", no_wrap=True)
    for one in found:
        of_task = {task.task: task.accuracy for task in one.tasks}
        table.add_row(Text(one.condition), *(_number(of_task.get(task), 3) for task in tasks))
    _print_whole(table)


def _print_whole(table: Table) -> None:
    """Print a table as wide as it is: a narrow terminal may break its lines, but no name is cut off."""
    needed = Measurement.get(out, out.options.update(width=1000), table).maximum
    Console(width=max(out.width, needed), highlight=False, markup=False).print(table)


def _versions(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Write the versions of each package, with the numbers of shards where there is more than one."""
    return ", ".join(
        f"{package} " + " and ".join(f"{one} ({n} shards)" if len(own) > 1 else one for one, n in own.items())
        for package, own in counts.items()
    )


def _facts(found: StoreInfo) -> Table:
    table = Table(title=Text(found.path), show_header=False, title_justify="left")
    failures = ", ".join(f"{count} {stage}" for stage, count in found.failures.items())
    norm = " and the final norm" if found.has_norm else ""
    for name, value in (
        ("model", f"{found.model}, revision {found.revision or _NONE}, dtype {found.model_dtype}"),
        ("condition", found.condition),
        ("rows", f"{found.rows} of {found.wanted} samples"),
        ("failures", failures or "none"),
        ("shards", f"{found.shards} of {found.shards_wanted}, {found.bytes / 1e6:.1f} MB"),
        ("layers", f"{_span(found.layers)}{norm}" if found.layers else f"none{norm}"),
        ("roles", ", ".join(found.roles) or "none"),
        ("states", f"{found.width or _NONE} values, {', '.join(found.dtypes) or _NONE}"),
        ("made with", _versions(found.versions) or _NONE),
        ("parity", describe_parity(found.parity) if found.parity else _NONE),
    ):
        table.add_row(name, Text(value))  # not markup, whatever a name holds
    return table


def _tasks(tasks: Sequence[TaskInfo]) -> Table:
    caption = "Bits: entropies of gold answers and of the model's. Majority: share of the most frequent gold answer."
    table = Table(caption=caption, caption_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("task", no_wrap=True)
    for heading in _COLUMNS:
        table.add_column(heading, justify="right")
    for task in tasks:
        table.add_row(Text(task.task), *(write(task) for write in _COLUMNS.values()))
    return table


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


def _span(layers: Sequence[int]) -> str:
    is_whole = list(layers) == list(range(layers[0], layers[-1] + 1))
    return f"{layers[0]} to {layers[-1]}" if is_whole else ", ".join(map(str, layers))
