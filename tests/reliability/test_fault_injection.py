"""Every call that any type, the store or the lease makes, each gone wrong in every way: the account ends up as if it
hadn't.

One telling of the story for each way: at the first coming to each site, the fault; what it leaves behind is what the
next ones are met with.
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
from controller.resources.base import ResourceContext, discover_resources
from tests.conformance.call_attribution import CallAttribution
from tests.conformance.update_cases import UPDATE_CASES
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients
from tests.reliability.account_state import AccountState
from tests.reliability.fault_injection import SECRET, CallSite, Fault, is_applicable
from tests.reliability.lifecycle import Lifecycle
from tests.reliability.scenario import MODEL, UPDATED_API, UPDATED_SERVICE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
ROOT = Path(controller.__file__).parent
_CASES_BY_NAME = {turn.name: turn.change for turn in UPDATE_CASES}


def _update(demo: Demo) -> None:
    demo.models = (replace(demo.models[0], service=UPDATED_SERVICE, api=UPDATED_API, gate=2e9),)
    demo.labels = "{team: risk}"


def _retrain(demo: Demo) -> None:
    demo.models = (replace(demo.models[0], depth=3, labels="{tier: gold}"),)


def _remove_optional_settings(demo: Demo) -> None:
    """Nothing is said any more that needn't be."""
    demo.models = (replace(demo.models[0], labels="{}", api=MODEL.api),)
    demo.labels = "{}"


def _move_to_other_network(demo: Demo) -> None:
    """The environment has another cluster, and a network of its own."""
    subnets = [subnet["SubnetId"] for subnet in demo.aws_client().read("ec2", "describe_subnets")["Subnets"]]
    demo.settings = f"cluster: others, network: {{subnets: [{', '.join(subnets[:2])}]}}"


def _remove(demo: Demo) -> None:
    demo.models = ()


# What happens in each chapter, before the controller looks.
SCENARIO: dict[str, Callable[[Demo], None]] = {
    "create": lambda demo: None,
    "update": _update,
    "by hand": _CASES_BY_NAME["by hand"],
    "retrain": _retrain,
    "superseded in flight": _CASES_BY_NAME["superseded in flight"],
    "plain": _remove_optional_settings,
    "move": _move_to_other_network,
    "prune": _remove,
}
_NAME_IS_FIXED = "an environment's name is its own: no change of its spec makes another one of these"
EXCUSED = {
    CallSite("ecs/service", "ecs.describe_service_revisions"): "asked for after a rollback only (test_failure.py)",
    CallSite("s3/bucket", "s3.delete_bucket"): _NAME_IS_FIXED,
    CallSite("servicediscovery/namespace", "servicediscovery.delete_namespace"): _NAME_IS_FIXED,
}


_READ_ONLY_COMMAND = "a command that looks once, changes nothing, and ends with the error"
_ONLY_HASTENS = (
    "a hint only hastens what the next look at everything finds (tests/unit/engine/test_webhooks_and_events.py)"
)
# Calls that are no type's, store's or lease's, and so in no story of a reconciler.
OUTSIDE_THE_SCENARIO = {
    "ec2.describe_route_tables": _READ_ONLY_COMMAND,
    "ec2.describe_vpc_endpoints": _READ_ONLY_COMMAND,
    "ecs.list_clusters": _READ_ONLY_COMMAND,
    "ecs.list_services": _READ_ONLY_COMMAND,
    "iam.simulate_principal_policy": _READ_ONLY_COMMAND,
    "logs.filter_log_events": _READ_ONLY_COMMAND,
    "servicediscovery.list_instances": _READ_ONLY_COMMAND,
    "sqs.delete_message_batch": _ONLY_HASTENS,
    "sqs.receive_message": _ONLY_HASTENS,
}
_CALL = re.compile(r"\.(?:read|write|iter_items|list_items)\(\s*\"(\w+)\",\s*\"(\w+)\"")


@dataclass
class ScenarioResult:
    """What came of a telling."""

    account_states: dict[str, AccountState] = field(default_factory=dict)
    seen: set[CallSite] = field(default_factory=set)
    hit: set[CallSite] = field(default_factory=set)
    reporting_errors: list[str] = field(default_factory=list)
    stored_state: str = ""


@dataclass
class ScenarioRunner:
    """Tells the story on an emptied AWS."""

    aws: EmbeddedAws
    resource_context: ResourceContext
    directory: Path

    def run(self, fault: Fault | None, is_targeted: Callable[[CallSite], bool] = lambda site: True) -> ScenarioResult:
        self.aws.call_admin_endpoint("reset", "POST")
        key = self.aws.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
        clients = EmbeddedClients(self.aws.endpoint)
        scene = CallAttribution(
            discover_resources(self.resource_context),
            clients,
            discover_resources(replace(self.resource_context, list_threshold=1)),
        )
        reported = ScenarioResult()
        model = replace(MODEL, image=f"{{maxSeverity: critical, signing: {{key: '{key}'}}}}")
        demo = Demo(clients, scene.registry, self.directory, models=(model,))
        run = Lifecycle(demo, scene)
        run.fault_injector.is_targeted = is_targeted
        for name, change in SCENARIO.items():
            run.fault_injector.fault = None
            change(demo)
            run.fault_injector.fault = fault
            run.settle(is_removed=not demo.models)
            run.fault_injector.complete_delayed_calls(complete_all=True)
            reported.account_states[name] = _comparable(run.account_state())
        reported.seen, reported.hit = set(run.fault_injector.seen), set(run.fault_injector.hit)
        reported.reporting_errors, reported.stored_state = run.reporting_errors, run.stored_state()
        return reported


def _without_revisions(found: AccountState) -> AccountState:
    """Without the numbers of revisions: one that is registered late is one more, of equal content.

    There is no token for it.
    """
    families = [{**item, "taskDefinition": item["taskDefinition"].rpartition(":")[0]} for item in found["services"]]
    containers = {json.dumps(containers, sort_keys=True) for containers in found["containers"]}
    kept = {part: items for part, items in found.items() if not part.endswith(" definitions")}
    return kept | {"services": families, "containers": sorted(containers)}


def _comparable(found: AccountState) -> AccountState:
    """Without what follows from ids that AWS makes up: what a key makes of images, and subnets of a link's name."""
    found["links"] = [{**link, "Name": link["Name"].rpartition("-")[0]} for link in found["links"]]
    found["images"] = sorted([name, [tag.partition("-")[0] for tag in tags or ()]] for name, tags, _ in found["images"])
    return found


@pytest.fixture(scope="session")
def scenario_runner(
    idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory
) -> ScenarioRunner:
    return ScenarioRunner(idle_aws, resource_context, tmp_path_factory.mktemp("specs"))


@pytest.fixture(scope="session")
def undisturbed(scenario_runner: ScenarioRunner) -> ScenarioResult:
    """The story as nothing goes wrong in it."""
    return scenario_runner.run(None)


def test_scenario_reaches_every_declared_call(undisturbed: ScenarioResult, resource_context: ResourceContext) -> None:
    """Each call that a type declares is made by it in the story, but for those that are excused; no excuse is idle."""
    declared = {
        CallSite(kind, call)
        for kind, resource in discover_resources(resource_context).items()
        for call in resource.permissions
    }
    assert declared - undisturbed.seen == EXCUSED.keys()
    assert undisturbed.reporting_errors == []


def test_every_call_in_the_code_is_covered_or_excused(undisturbed: ScenarioResult) -> None:
    """Every call that the controller's code names is in the story, excused there, or named with its reason here."""
    files = ROOT.rglob("*.py")
    named = {".".join(found) for path in files for found in _CALL.findall(path.read_text())}
    reported = {site.call for site in (*undisturbed.seen, *EXCUSED)}
    assert len(named) > 50
    assert named - reported == OUTSIDE_THE_SCENARIO.keys()


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_fault_at_every_call_site_converges(
    fault: Fault, scenario_runner: ScenarioRunner, undisturbed: ScenarioResult
) -> None:
    """Every site is hit; each chapter's account equals the undisturbed one's; what was said meanwhile was true."""
    sites, tellings = {site for site in undisturbed.seen if is_applicable(fault, site)}, [scenario_runner.run(fault)]
    if missed := sites - tellings[0].hit:  # another fault kept the story from coming to them
        tellings.append(scenario_runner.run(fault, missed.__contains__))
    assert sites - set().union(*(reported.hit for reported in tellings)) == set()
    for reported in tellings:
        assert (
            _account_differences(reported, undisturbed, _without_revisions if fault is Fault.READ_TIMEOUT else dict)
            == {}
        )
        assert reported.reporting_errors == []
        assert SECRET not in reported.stored_state


def _account_differences(
    result: ScenarioResult, undisturbed: ScenarioResult, normalize: Callable[[AccountState], AccountState]
) -> dict[str, dict[str, Any]]:
    """What each chapter left otherwise than the undisturbed one: found and wanted."""
    differing = {}
    for name, world in undisturbed.account_states.items():
        found, wanted = normalize(result.account_states[name]), normalize(world)
        differing[name] = {part: (found[part], items) for part, items in wanted.items() if found[part] != items}
    return {name: parts for name, parts in differing.items() if parts}
