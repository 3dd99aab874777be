"""`moorage bundle`: build a bundle that the server can serve from a model that was trained elsewhere."""

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
    model: Annotated[Path, Parameter(help="Model file (UBJSON or JSON), or a model.tar.gz that contains it.")],
    /,
    *,
    features: Annotated[str, Parameter(help="Names of the features, in the model's order, comma-separated.")],
    directory: Annotated[Path, Parameter(name=("--directory", "-o"), help="Directory to write the bundle to.")],
    name: Annotated[str, Parameter(help="Name of the model; by default the name of its file.")] = "",
    target: Annotated[str, Parameter(help="Name of the predicted value.")] = "prediction",
    data: Annotated[
        Path | None,
        Parameter(help="CSV of the training rows: adds metrics, ranges and real canary rows to the manifest."),
    ] = None,
    place: BackendOptions = BackendOptions(),
) -> int:
    """Write model.ubj and manifest.json with canary rows, which the server checks when it starts."""
    del place
    names = [feature.strip() for feature in features.split(",")]
    # Put all rows into one channel: the file doesn't say which rows were held out of training.
    rows = load_dataset(data, target=target, features=names, split=SplitShares(0, 0)).channels if data else {}
    built = bundles.build_bundle(
        bundles.read_model(model),
        name=name or model.name.split(".")[0],
        features=names,
        target=target,
        channels={channel: part.content for channel, part in rows.items()},
    )
    built.write(directory)
    console.print_progress(
        Text(f"wrote {directory}: {built.manifest.objective}, {len(built.manifest.canaries)} canary rows")
    )
    return 0
