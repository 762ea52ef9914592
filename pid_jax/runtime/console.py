"""What the two command lines share: errors in one line, exit codes, progress bars."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

# No markup: what is printed holds paths and texts of data, which may look like it.
out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

# Seconds between lines on progress where there is no terminal but a file or a pipe.
LINE_SECONDS = 10.0
# Of a process that SIGTERM ended, as shells count.
TERMINATED = 128 + signal.SIGTERM
# Raised on purpose, with a message for the user. Anything else is a bug and keeps its traceback.
_EXPECTED = (ValueError, TypeError, OSError, RuntimeError, ModuleNotFoundError)


class Terminated(SystemExit):
    """The process was asked to end by SIGTERM, as batch systems do."""


def make_app(description: str) -> typer.Typer:
    """Make a Typer application that knows `--debug`."""
    app = typer.Typer(
        help=description,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )

    @app.callback()
    def root(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")) -> None:
        pass

    root.__doc__ = description
    return app


def run_app(app: typer.Typer) -> None:
    """Run an application: exit code 0 only on success, errors in one line without a traceback unless `--debug`.

    SIGTERM ends the process as Ctrl-C does, with exit code 143. `--debug` may stand anywhere on the line.
    """
    is_debug = "--debug" in sys.argv
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        app(args=[argument for argument in sys.argv[1:] if argument != "--debug"])
    except _EXPECTED as error:
        if is_debug:
            raise
        err.print(Text("error:", style="bold red"), " ".join(str(error).split()))
        sys.exit(1)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends it at once
    raise Terminated(TERMINATED)


@contextmanager
def resumable(advice: Callable[[], str], *, is_shown: bool = True) -> Iterator[None]:
    """Print how to resume when the user or the system stops what runs inside.

    Args:
        advice: Returns the sentence, called when it is needed.
        is_shown: Whether to print it.
    """
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        if is_shown:
            err.print(f"Stopped. {advice()}")
        raise


def parse_names(text: str) -> tuple[str, ...] | None:
    """Read names with commas between them; None for "all"."""
    return None if text == "all" else tuple(name.strip() for name in text.split(","))


def _title() -> tuple[ProgressColumn, ...]:
    return SpinnerColumn(), TextColumn("{task.description}", markup=False)


def _bar(*counts: ProgressColumn) -> tuple[ProgressColumn, ...]:
    """Return columns of a bar with the time passed and left, and the given ones before the percentage."""
    after = TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn(), TimeRemainingColumn()
    return *_title(), BarColumn(), *counts, *after


@contextmanager
def _shown(*columns: ProgressColumn, is_shown: bool) -> Iterator[Progress]:
    """Show columns that move on a terminal, and elsewhere a line every few seconds and one at the end."""
    has_lines = is_shown and not err.is_terminal
    with Progress(*columns, console=err, disable=has_lines or not is_shown) as progress:
        if not has_lines:
            yield progress
            return
        is_over = Event()
        printer = Thread(target=_print_lines, args=(progress, is_over), daemon=True)
        printer.start()
        try:
            yield progress
        finally:
            is_over.set()
            printer.join()
        _print_line(progress)


def _print_lines(progress: Progress, is_over: Event) -> None:
    while not is_over.wait(LINE_SECONDS):
        _print_line(progress)


def _print_line(progress: Progress) -> None:
    for task in progress.tasks:
        share = "" if task.total is None else f" {task.percentage:.0f} %,"
        left = "" if not task.time_remaining else f", about {_clock(task.time_remaining)} left"
        err.print(f"{task.description}:{share} {_clock(task.elapsed or 0)} passed{left}")


def _clock(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))


class _SpeedColumn(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


@contextmanager
def progress_bar(
    description: str, total: int, done: int = 0, *, is_shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show a bar; yield a function that moves it on.

    Args:
        description: What is being done.
        total: Number of items.
        done: Items done before.
        is_shown: Whether to show it at all.
    """
    with _shown(*_bar(MofNCompleteColumn(), _SpeedColumn()), is_shown=is_shown) as progress:
        task = progress.add_task(description, total=total, completed=done)
        yield lambda step: progress.advance(task, step)


@contextmanager
def fraction_bar(description: str, *, is_shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for steps whose number is known later; yield a function that takes steps done and all there are.

    Args:
        description: What is being done.
        is_shown: Whether to show it at all.
    """
    with _shown(*_bar(), is_shown=is_shown) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def working(description: str, *, is_shown: bool = True) -> Iterator[None]:
    """Show a spinner with the time that has passed while something without steps runs."""
    with _shown(*_title(), TimeElapsedColumn(), is_shown=is_shown) as progress:
        progress.add_task(description, total=None)
        yield
