"""`pid-extract check`: what a checkpoint would do with prompts and images, before anything is extracted."""

from typing import Annotated

import typer

from extraction.cli.run import Device, DeviceMap, Local, load_for_command
from extraction.run.settings import ModelSettings
from pid_jax.runtime.console import out


def check(
    model: Annotated[str, typer.Argument(help="Folder or hub id of a model, or tiny, tiny-gqa-8, tiny-gqa-6.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16: precision of the model.")] = "auto",
    device: Device = None,
    device_map: DeviceMap = None,
    local_files_only: Local = False,
) -> None:
    """Load a model, and report what decides its prompts and pixels; exit code 1 if it cannot be extracted."""
    from extraction.run.processes import Process

    settings = ModelSettings(name=model, revision=revision, dtype=dtype)
    vlm, checks = load_for_command(settings, device, device_map, local_files_only, Process())
    precision = str(vlm.model.dtype).removeprefix("torch.")
    title = f"{vlm.family.title}, {len(vlm.layers)} blocks of width {vlm.width}, {precision} on {vlm.device}"
    rows = [("model", title, False), *((one.subject, one.finding, one.is_notable) for one in checks)]
    width = max(len(subject) for subject, _, _ in rows)
    for subject, finding, is_notable in rows:
        out.print(f"{'!' if is_notable else ' '} {subject:<{width}}  {finding}")
