"""Every call that any type, the store or the lease makes, each gone wrong in every way: the account ends up as if it hadn't.

One telling of the story for each way: at the first coming to each site, the fault; what it leaves behind is what the next
ones are met with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import controller
from controller.resources.base import Workshop, discover
from tests.conformance.scene import Scene
from tests.conformance.turns import TURNS
from tests.conftest import EmbeddedAws
from tests.demo import Clients, Demo
from tests.reliability.living import Living
from tests.reliability.saboteur import SECRET, Fault, Site, can_happen
from tests.reliability.story import MODEL, OTHER, OTHER_API
from tests.reliability.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
ROOT = Path(controller.__file__).parent
_BY_TURN = {turn.name: turn.change for turn in TURNS}


def _update(demo: Demo) -> None:
    demo.models = (replace(demo.models[0], service=OTHER, api=OTHER_API, gate=2e9),)
    demo.labels = "{team: risk}"


def _retrain(demo: Demo) -> None:
    demo.models = (replace(demo.models[0], depth=3, labels="{tier: gold}"),)


def _plain(demo: Demo) -> None:
    """Nothing is said any more that needn't be."""
    demo.models = (replace(demo.models[0], labels="{}", api=MODEL.api),)
    demo.labels = "{}"


def _move(demo: Demo) -> None:
    """The environment has another cluster, and a network of its own."""
    subnets = [subnet["SubnetId"] for subnet in demo.door().read("ec2", "describe_subnets")["Subnets"]]
    demo.settings = f"cluster: others, network: {{subnets: [{', '.join(subnets[:2])}]}}"


def _remove(demo: Demo) -> None:
    demo.models = ()


# What happens in each chapter, before the controller looks.
STORY: dict[str, Callable[[Demo], None]] = {
    "create": lambda demo: None,
    "update": _update,
    "by hand": _BY_TURN["by hand"],
    "retrain": _retrain,
    "superseded in flight": _BY_TURN["superseded in flight"],
    "plain": _plain,
    "move": _move,
    "prune": _remove,
}
_STAYS = "an environment's name is its own: no change of its spec makes another one of these"
EXCUSED = {
    Site("ecs/service", "ecs.describe_service_revisions"): "asked for after a rollback only (test_failure.py)",
    Site("s3/bucket", "s3.delete_bucket"): _STAYS,
    Site("servicediscovery/namespace", "servicediscovery.delete_namespace"): _STAYS,
}


_LOOKS = "a command that looks once, changes nothing, and ends with the error"
_HASTENS = "a hint only hastens what the next look at everything finds (tests/unit/runtime/test_hints.py)"
# Calls that are no type's, store's or lease's, and so in no story of a reconciler.
ELSEWHERE = {
    "ec2.describe_route_tables": _LOOKS,
    "ec2.describe_vpc_endpoints": _LOOKS,
    "ecs.list_clusters": _LOOKS,
    "ecs.list_services": _LOOKS,
    "iam.simulate_principal_policy": _LOOKS,
    "logs.filter_log_events": _LOOKS,
    "servicediscovery.list_instances": _LOOKS,
    "sqs.delete_message_batch": _HASTENS,
    "sqs.receive_message": _HASTENS,
}
_CALL = re.compile(r"\.(?:read|write|pages)\(\s*\"(\w+)\",\s*\"(\w+)\"")


@dataclass
class Told:
    """What came of a telling."""

    worlds: dict[str, World] = field(default_factory=dict)
    seen: set[Site] = field(default_factory=set)
    hit: set[Site] = field(default_factory=set)
    untruths: list[str] = field(default_factory=list)
    remembered: str = ""


@dataclass
class Teller:
    """Tells the story on an emptied AWS."""

    aws: EmbeddedAws
    workshop: Workshop
    directory: Path

    def tell(self, fault: Fault | None, aims: Callable[[Site], bool] = lambda site: True) -> Told:
        self.aws.admin("reset", "POST")
        key = self.aws.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
        clients = Clients(self.aws.endpoint)
        scene = Scene(discover(self.workshop), clients, discover(replace(self.workshop, many=1)))
        told = Told()
        model = replace(MODEL, image=f"{{maxSeverity: critical, signing: {{key: '{key}'}}}}")
        demo = Demo(clients, scene.registry, self.directory, models=(model,))
        living = Living(demo, scene)
        living.saboteur.aims = aims
        for name, change in STORY.items():
            living.saboteur.fault = None
            change(demo)
            living.saboteur.fault = fault
            living.settle(gone=not demo.models)
            living.saboteur.settle(all_of_it=True)
            told.worlds[name] = _comparable(living.world())
        told.seen, told.hit = set(living.saboteur.seen), set(living.saboteur.hit)
        told.untruths, told.remembered = living.untruths, living.remembered()
        return told


def _without_revisions(found: World) -> World:
    """Without the numbers of revisions: one that is registered late is one more, of equal content; there is no token for it."""
    families = [{**item, "taskDefinition": item["taskDefinition"].rpartition(":")[0]} for item in found["services"]]
    containers = {json.dumps(containers, sort_keys=True) for containers in found["containers"]}
    kept = {part: items for part, items in found.items() if not part.endswith(" definitions")}
    return kept | {"services": families, "containers": sorted(containers)}


def _comparable(found: World) -> World:
    """Without what follows from ids that AWS makes up: what a key makes of images, and subnets of a link's name."""
    found["links"] = [{**link, "Name": link["Name"].rpartition("-")[0]} for link in found["links"]]
    found["images"] = sorted([name, [tag.partition("-")[0] for tag in tags or ()]] for name, tags, _ in found["images"])
    return found


@pytest.fixture(scope="module")
def teller(idle_aws: EmbeddedAws, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Teller:
    return Teller(idle_aws, workshop, tmp_path_factory.mktemp("specs"))


@pytest.fixture(scope="module")
def undisturbed(teller: Teller) -> Told:
    """The story as nothing goes wrong in it."""
    return teller.tell(None)


def test_the_story_comes_to_every_site(undisturbed: Told, workshop: Workshop) -> None:
    """Each call that a type declares is made by it in the story, but for those that are excused; no excuse is idle."""
    declared = {Site(kind, call) for kind, resource in discover(workshop).items() for call in resource.permissions}
    assert declared - undisturbed.seen == EXCUSED.keys()
    assert undisturbed.untruths == []


def test_no_call_is_forgotten(undisturbed: Told) -> None:
    """Every call that the controller's code names is in the story, excused there, or named with its reason here."""
    files = [path for path in ROOT.rglob("*.py") if "local" not in path.relative_to(ROOT).parts]
    named = {".".join(found) for path in files for found in _CALL.findall(path.read_text())}
    told = {site.call for site in (*undisturbed.seen, *EXCUSED)}
    assert len(named) > 50
    assert named - told == ELSEWHERE.keys()


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_fault_at_every_site_changes_nothing_in_the_end(fault: Fault, teller: Teller, undisturbed: Told) -> None:
    """Every site is hit; each chapter's account equals the undisturbed one's; what was said meanwhile was true."""
    sites, tellings = {site for site in undisturbed.seen if can_happen(fault, site)}, [teller.tell(fault)]
    if missed := sites - tellings[0].hit:  # another fault kept the story from coming to them
        tellings.append(teller.tell(fault, missed.__contains__))
    assert sites - set().union(*(told.hit for told in tellings)) == set()
    for told in tellings:
        assert _differing(told, undisturbed, _without_revisions if fault is Fault.SLOW else dict) == {}
        assert told.untruths == []
        assert SECRET not in told.remembered


def _differing(told: Told, undisturbed: Told, seen_as: Callable[[World], World]) -> dict[str, dict[str, Any]]:
    """What each chapter left otherwise than the undisturbed one: found and wanted."""
    differing = {}
    for name, world in undisturbed.worlds.items():
        found, wanted = seen_as(told.worlds[name]), seen_as(world)
        differing[name] = {part: (found[part], items) for part, items in wanted.items() if found[part] != items}
    return {name: parts for name, parts in differing.items() if parts}
