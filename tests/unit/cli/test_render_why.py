"""The output of `moorage why`, as text and as JSON."""

from __future__ import annotations

from controller.cli.output.lineage_view import lineage_data, lineage_text
from controller.core.values import Key
from controller.lineage import Hop, Lineage

LINEAGE = Lineage(
    Key("default", "ModelService", "housing-model"),
    (
        (
            Hop("route", "a1b2c3", {"endpoint": "https://a1b2c3.example", "routes": ["GET /livez", "POST /predict"]}),
            Hop("version", "3", {"approval": "Approved", "metrics": {"test.rmse": 49610.25}}),
            Hop("job", "moorage-housing-model-0f1e2d3c", {}, "the training job was deleted"),
            Hop("commit", problem="the image names none: its specs were not in Git"),
        ),
    ),
)


def test_each_hop_is_shown_with_its_problem() -> None:
    """Each hop shows its kind and id, then its facts dimmed, then its problem after a `!`."""
    assert lineage_text(LINEAGE).plain == (
        "route     a1b2c3\n"
        "          https://a1b2c3.example\n"
        "          GET /livez, POST /predict\n"
        "version   3\n"
        "          Approved\n"
        "          test.rmse 49,610.2\n"
        "job       moorage-housing-model-0f1e2d3c\n"
        "          ! the training job was deleted\n"
        "commit    ! the image names none: its specs were not in Git"
    )


def test_json_has_every_fact() -> None:
    """Absent ids and problems are null, and `whole` is false if any hop has a problem."""
    data = lineage_data(LINEAGE)
    assert (data["name"], data["whole"]) == ("housing-model", False)
    (way,) = data["ways"]
    assert way[0]["routes"] == ["GET /livez", "POST /predict"]
    assert way[0]["problem"] is None
    assert way[3] == {"hop": "commit", "id": None, "problem": "the image names none: its specs were not in Git"}
