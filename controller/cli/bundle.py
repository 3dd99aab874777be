"""`moorage bundle`: makes a bundle, which the server can serve, of a model that was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from controller import bundle as bundles
from controller.cli.options import BackendOptions
from controller.cli.output import console
from controller.dataset import SplitShares, load_dataset


def bundle(
    model: Annotated[Path, Parameter(help="Model file (UBJSON or JSON), or the model.tar.gz around it.")],
    /,
    *,
    features: Annotated[str, Parameter(help="Names of the features, in the model's order, separated by commas.")],
    directory: Annotated[Path, Parameter(name=("--directory", "-o"), help="Where the bundle is written.")],
    name: Annotated[str, Parameter(help="What the model is called; by default like its file.")] = "",
    target: Annotated[str, Parameter(help="What it predicts.")] = "prediction",
    data: Annotated[
        Path | None,
        Parameter(help="CSV of the rows that it was trained on: adds metrics, ranges and real canary rows."),
    ] = None,
    place: BackendOptions = BackendOptions(),
) -> int:
    """Write model.ubj and manifest.json, with canary rows that the server checks when it starts."""
    del place
    names = [feature.strip() for feature in features.split(",")]
    # All of the rows, in one channel: only who trained the model knows what was held out.
    rows = load_dataset(data, target=target, features=names, split=SplitShares(0, 0)).channels if data else {}
    made = bundles.build_bundle(
        bundles.read_model(model),
        name=name or model.name.split(".")[0],
        features=names,
        target=target,
        channels={channel: part.content for channel, part in rows.items()},
    )
    made.write(directory)
    console.print_progress(
        Text(f"wrote {directory}: {made.manifest.objective}, {len(made.manifest.canaries)} canary rows")
    )
    return 0
