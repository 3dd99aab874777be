"""What a person reads when a spec is wrong: every kind of error, exactly as it is printed."""

from __future__ import annotations

import pytest

from controller.errors import SpecError
from controller.spec.load import load_text

HEAD = """\
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {name: housing}
"""
SPEC = """\
spec:
  data: {source: h.csv, target: value}
  training:
    algorithm: {version: "3.2-0"}
    hyperparameters: {num_round: 10}
"""
GOOD = HEAD + SPEC


def error_text(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_text(text, "a.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_unmodified_spec_loads() -> None:
    """The cases below fail for their own reason: without it the spec loads."""
    assert list(load_text(GOOD).services) == ["housing"]


# What is added below the good spec (whose last line is 8) → what is printed.
ADDED = {
    "unknown field, with the nearest one": (
        "  service:\n    memroy: 1 GB\n",
        (
            "a.yaml:10:5: error: unknown field 'memroy' in spec.service\n"
            " 10 |     memroy: 1 GB\n"
            "    |     ^^^^^^  did you mean 'memory'?   (moorage explain modelservice.spec.service)"
        ),
    ),
    "unknown field, nothing near": (
        "  image: {zzz: 1}\n",
        (
            "a.yaml:9:11: error: unknown field 'zzz' in spec.image\n"
            " 9 |   image: {zzz: 1}\n"
            "   |           ^^^  known are base, architecture, maxSeverity, signing, encryption   (moorage explain modelservice.spec.image)"
        ),
    ),
    "money without a currency": (
        "  policy: {maxMonthlyCost: 40}\n",
        (
            "a.yaml:9:28: error: 40 is not an amount of US dollars\n"
            " 9 |   policy: {maxMonthlyCost: 40}\n"
            "   |                            ^^  write '40 USD'"
        ),
    ),
    "a field of the tour that nothing implements yet": (
        "  service: {scaling: {min: 0}}\n",
        (
            "a.yaml:9:13: error: unknown field 'scaling' in spec.service\n"
            " 9 |   service: {scaling: {min: 0}}\n"
            "   |             ^^^^^^^  known are cpu, memory, desiredCount, env, secrets, health, stopTimeout, name, discovery, taskDefinition"
            "   (moorage explain modelservice.spec.service)"
        ),
    ),
    "a bare cpu that could be vCPU": (
        "  service: {cpu: 0.5}\n",
        (
            "a.yaml:9:18: error: cpu 0.5 is ambiguous: 0.5 vCPU would be 512 units, 0.5 units are less than Fargate offers\n"
            " 9 |   service: {cpu: 0.5}\n"
            "   |                  ^^^  write '0.5 vCPU', or units: 512"
        ),
    ),
    "a bare cpu of 1": (
        "  service: {cpu: 1}\n",
        (
            "a.yaml:9:18: error: cpu 1 is ambiguous: 1 vCPU would be 1024 units, 1 units are less than Fargate offers\n"
            " 9 |   service: {cpu: 1}\n"
            "   |                  ^  write '1 vCPU', or units: 1024"
        ),
    ),
    "a cpu Fargate lacks": (
        "  service: {cpu: 3 vCPU}\n",
        (
            "a.yaml:9:18: error: cpu 3 vCPU is not a size Fargate offers\n"
            " 9 |   service: {cpu: 3 vCPU}\n"
            "   |                  ^^^^^^  one of 0.25 vCPU, 0.5 vCPU, 1 vCPU, 2 vCPU, 4 vCPU, 8 vCPU, 16 vCPU"
        ),
    ),
    "a pair Fargate lacks": (
        "  service: {cpu: 0.25 vCPU, memory: 3 GB}\n",
        (
            "a.yaml:9:37: error: memory 3 GB doesn't go with cpu 0.25 vCPU\n"
            " 9 |   service: {cpu: 0.25 vCPU, memory: 3 GB}\n"
            "   |                                     ^^^^  Fargate offers 512 MiB, 1 GB, 2 GB"
        ),
    ),
    "a cpu that the default memory doesn't fit": (
        "  service: {cpu: 2 vCPU}\n",
        (
            "a.yaml:9:18: error: memory 1 GB doesn't go with cpu 2 vCPU\n"
            " 9 |   service: {cpu: 2 vCPU}\n"
            "   |                  ^^^^^^  add 'memory': 4 GB to 16 GB in steps of 1 GB"
        ),
    ),
    "a duration without a unit": (
        "  service: {stopTimeout: 60}\n",
        (
            "a.yaml:9:26: error: duration 60 has no unit\n"
            " 9 |   service: {stopTimeout: 60}\n"
            "   |                          ^^  write '60s', '60m' or '60h'"
        ),
    ),
    "a duration out of range": (
        "  service: {stopTimeout: 10m}\n",
        (
            "a.yaml:9:26: error: stopTimeout is 600 s; Fargate takes 2 s to 120 s\n"
            " 9 |   service: {stopTimeout: 10m}\n"
            "   |                          ^^^"
        ),
    ),
    "text where a truth is due, as in YAML 1.1": (
        "  policy: {suspend: yes}\n",
        (
            "a.yaml:9:21: error: spec.policy.suspend must be true or false, not the text 'yes'\n"
            " 9 |   policy: {suspend: yes}\n"
            "   |                     ^^^"
        ),
    ),
    "a number where text is due": (
        "  service: {env: {PORT: 8080}}\n",
        (
            "a.yaml:9:25: error: spec.service.env.PORT must be text, not the number 8080\n"
            " 9 |   service: {env: {PORT: 8080}}\n"
            '   |                         ^^^^  put it in quotes: "8080"'
        ),
    ),
    "a mapping where a list is due": (
        "  model: {gates: {metric: rmse}}\n",
        (
            "a.yaml:9:11: error: spec.model.gates must be a list, not a mapping\n"
            " 9 |   model: {gates: {metric: rmse}}\n"
            "   |           ^^^^^"
        ),
    ),
    "a number out of range": (
        "  service: {desiredCount: -1}\n",
        (
            "a.yaml:9:27: error: spec.service.desiredCount can't be -1: it must be at least 0\n"
            " 9 |   service: {desiredCount: -1}\n"
            "   |                           ^^  How many tasks run"
        ),
    ),
    "a word that isn't one of the words": (
        "  model: {approval: manuel}\n",
        (
            "a.yaml:9:21: error: spec.model.approval can't be 'manuel'\n"
            " 9 |   model: {approval: manuel}\n"
            "   |                     ^^^^^^  did you mean 'manual'?"
        ),
    ),
    "a word like none of the words": (
        "  model: {approval: x}\n",
        (
            "a.yaml:9:21: error: spec.model.approval can't be 'x'\n"
            " 9 |   model: {approval: x}\n"
            "   |                     ^  it is 'auto' or 'manual'"
        ),
    ),
    "the wrong form": (
        "  api: {routes: [{method: GET, path: predict}]}\n",
        (
            "a.yaml:9:38: error: spec.api.routes[0].path can't be 'predict': it doesn't have the right form\n"
            " 9 |   api: {routes: [{method: GET, path: predict}]}\n"
            "   |                                      ^^^^^^^  Path, as the server knows it"
        ),
    ),
    "an empty value": (
        "  service:\n",
        (
            "a.yaml:9:11: error: spec.service is empty\n"
            " 9 |   service:\n"
            "   |           ^  give it a value, or leave the line out"
        ),
    ),
    "credentials for everybody": (
        "  api: {cors: {allowOrigins: ['*'], allowCredentials: true}}\n",
        (
            "a.yaml:9:16: error: allowOrigins can't be * where credentials are allowed\n"
            " 9 |   api: {cors: {allowOrigins: ['*'], allowCredentials: true}}\n"
            "   |                ^^^^^^^^^^^^  name each of them"
        ),
    ),
    "a missing field": (
        "  api: {throttle: {burst: 5}}\n",
        (
            "a.yaml:9:9: error: 'rate' is missing in spec.api.throttle\n"
            " 9 |   api: {throttle: {burst: 5}}\n"
            "   |         ^^^^^^^^  (moorage explain modelservice.spec.api.throttle.rate)"
        ),
    ),
    "a gate without a bound": (
        "  model: {gates: [{metric: rmse}]}\n",
        (
            "a.yaml:9:19: error: a gate needs exactly one of 'max' and 'min'\n"
            " 9 |   model: {gates: [{metric: rmse}]}\n"
            "   |                   ^"
        ),
    ),
    "a gate on what is not measured": (
        "  model: {gates: [{metric: auc, min: 0.8}]}\n",
        (
            "a.yaml:9:28: error: auc is not measured for objective reg:squarederror\n"
            " 9 |   model: {gates: [{metric: auc, min: 0.8}]}\n"
            "   |                            ^^^  measured are rmse, mae"
        ),
    ),
    "a route twice": (
        "  api: {routes: [{method: GET, path: /}, {method: GET, path: /}]}\n",
        (
            "a.yaml:9:42: error: route GET / is listed twice\n"
            " 9 |   api: {routes: [{method: GET, path: /}, {method: GET, path: /}]}\n"
            "   |                                          ^"
        ),
    ),
    "a variable that is a secret as well": (
        "  service: {env: {A: x}, secrets: [{name: A, valueFrom: 'arn:aws:ssm:us-east-1:123456789012:parameter/a'}]}\n",
        (
            "a.yaml:9:43: error: 'A' is set twice in env and secrets\n"
            " 9 |   service: {env: {A: x}, secrets: [{name: A, valueFrom: 'arn:aws:ssm:us-east-1:123456789012:parameter/a'}]}\n"
            "   |                                           ^"
        ),
    ),
    "an Environment nobody declares": (
        "  environment: prod\n",
        (
            "a.yaml:9:16: error: unknown Environment 'prod'\n"
            " 9 |   environment: prod\n"
            "   |                ^^^^  declare it, or leave the field out for 'default'"
        ),
    ),
    "a duplicate key": (
        "  data: {source: x.csv, target: y}\n",
        "a.yaml:9:3: error: 'data' is set twice\n 9 |   data: {source: x.csv, target: y}\n   |   ^^^^  first on line 5",
    ),
    "an anchor": (
        "  service: {env: &e {A: x}}\n",
        (
            "a.yaml:9:18: error: anchor '&e' is not allowed\n"
            " 9 |   service: {env: &e {A: x}}\n"
            "   |                  ^^^^  write values out where they are used"
        ),
    ),
    "an alias": (
        "  api: *e\n",
        "a.yaml:9:8: error: alias '*e' is not allowed\n 9 |   api: *e\n   |        ^^  write the value out",
    ),
    "a tag": (
        "  environment: !!python/name:os.system x\n",
        (
            "a.yaml:9:16: error: tag 'tag:yaml.org,2002:python/name:os.system' is not allowed\n"
            " 9 |   environment: !!python/name:os.system x\n"
            "   |                ^^^^^^^^^^^^^^^^^^^^^^^^^  leave it out; quotes make text"
        ),
    ),
    "a merge key": (
        "  service: {<<: {cpu: 256}}\n",
        (
            "a.yaml:9:13: error: unknown field '<<' in spec.service\n"
            " 9 |   service: {<<: {cpu: 256}}\n"
            "   |             ^^  known are cpu, memory, desiredCount, env, secrets, health, stopTimeout, name, discovery, taskDefinition"
            "   (moorage explain modelservice.spec.service)"
        ),
    ),
    "a key that is a list": (
        "  service: {env: {[a]: x}}\n",
        "a.yaml:9:19: error: a key must be text\n 9 |   service: {env: {[a]: x}}\n   |                   ^",
    ),
    "a tab": (
        "  service:\n\tcpu: 256\n",
        "a.yaml:10:1: error: a tab can't indent YAML\n 10 |  cpu: 256\n    | ^  use spaces",
    ),
    "broken YAML": (
        "  api: {routes: [\n",
        "a.yaml:10:1: error: not valid YAML: expected the node content, but found '<stream end>'",
    ),
    "a character YAML forbids": (
        "  environment: a\x07b\n",
        "a.yaml:9:17: error: character U+0007 is not allowed in YAML\n 9 |   environment: a b\n   |                 ^",
    ),
    "half a character": (
        '  environment: "\\ud800"\n',
        (
            "a.yaml:9:16: error: half a character: a surrogate without its pair\n"
            ' 9 |   environment: "\\ud800"\n'
            "   |                ^^^^^^^^"
        ),
    ),
    "an escape beyond Unicode": (
        '  environment: "\\UFFFFFFFF"\n',
        "a.yaml:1:1: error: an escape in quotes names no character\n 1 | apiVersion: moorage/v1alpha1\n   | ^",
    ),
}


@pytest.mark.parametrize(("added", "expected"), ADDED.values(), ids=ADDED)
def test_an_error_below_a_good_spec(added: str, expected: str) -> None:
    """One mistake yields one error, with its position, its line, a caret and a way on."""
    assert error_text(GOOD + added) == expected


# A text in the place of the good spec's part → what is printed.
CHANGED = {
    "a name that is no DNS label": (
        GOOD.replace("housing", "Housing_Model"),
        (
            "a.yaml:3:18: error: metadata.name can't be 'Housing_Model': it doesn't have the right form\n"
            " 3 | metadata: {name: Housing_Model}\n"
            "   |                  ^^^^^^^^^^^^^  DNS label of at most 40 characters, unique among documents of its kind"
        ),
    ),
    "a name of 41 characters": (
        GOOD.replace("housing", "a" * 41),
        (
            f"a.yaml:3:18: error: metadata.name can't be '{'a' * 41}': at most 40 characters\n"
            f" 3 | metadata: {{name: {'a' * 41}}}\n"
            f"   |                  {'^' * 41}  DNS label of at most 40 characters, unique among documents of its kind"
        ),
    ),
    "an unknown kind": (
        GOOD.replace("ModelService", "ModelServce"),
        (
            "a.yaml:2:7: error: unknown kind 'ModelServce'\n"
            " 2 | kind: ModelServce\n"
            "   |       ^^^^^^^^^^^  did you mean 'ModelService'?"
        ),
    ),
    "no kind": (
        GOOD.replace("kind: ModelService\n", ""),
        (
            "a.yaml:1:1: error: 'kind' is missing\n"
            " 1 | apiVersion: moorage/v1alpha1\n"
            "   | ^  it is Environment or ModelService"
        ),
    ),
    "another version": (
        GOOD.replace("v1alpha1", "v2"),
        (
            "a.yaml:1:13: error: apiVersion can't be 'moorage/v2'\n"
            " 1 | apiVersion: moorage/v2\n"
            "   |             ^^^^^^^^^^  did you mean 'moorage/v1alpha1'?"
        ),
    ),
    "a list for a document": (
        "- a\n",
        "a.yaml:1:1: error: a document is a mapping, not a list\n 1 | - a\n   | ^",
    ),
    "nothing but a header": (
        HEAD,
        (
            "a.yaml:1:1: error: 'spec' is missing in the document\n"
            " 1 | apiVersion: moorage/v1alpha1\n"
            "   | ^  (moorage explain modelservice.spec)"
        ),
    ),
    "the same name twice": (
        f"{GOOD}---\n{GOOD}",
        (
            "a.yaml:12:18: error: ModelService 'housing' exists already at a.yaml:3\n"
            " 12 | metadata: {name: housing}\n"
            "    |                  ^^^^^^^  choose another name"
        ),
    ),
    "a live object in two specs": (
        f"{GOOD}  api: {{id: abc}}\n---\n{GOOD.replace('housing}', 'other}')}  api: {{id: abc}}\n",
        (
            "a.yaml:19:13: error: ModelService 'housing' names abc already\n"
            " 19 |   api: {id: abc}\n"
            "    |             ^^^  name another one"
        ),
    ),
    "data from S3": (
        GOOD.replace("h.csv", "s3://b/k.csv"),
        (
            "a.yaml:5:18: error: data.source can't be s3://: only a file is read\n"
            " 5 |   data: {source: s3://b/k.csv, target: value}\n"
            "   |                  ^^^^^^^^^^^^  name a CSV file, relative to this spec"
        ),
    ),
    "a target among the features": (
        GOOD.replace("target: value", "target: value, features: [a, value, a]"),
        (
            "a.yaml:5:54: error: the target 'value' can't be a feature\n"
            " 5 |   data: {source: h.csv, target: value, features: [a, value, a]}\n"
            "   |                                                      ^^^^^\n"
            "a.yaml:5:61: error: feature 'a' is listed twice\n"
            " 5 |   data: {source: h.csv, target: value, features: [a, value, a]}\n"
            "   |                                                             ^"
        ),
    ),
    "a split that leaves nothing": (
        GOOD.replace("target: value", "target: value, split: {validation: 0.5, test: 0.5}"),
        (
            "a.yaml:5:40: error: validation 0.5 and test 0.5 leave no rows to train on\n"
            " 5 |   data: {source: h.csv, target: value, split: {validation: 0.5, test: 0.5}}\n"
            "   |                                        ^^^^^"
        ),
    ),
    "an algorithm that pickles": (
        GOOD.replace("3.2-0", "1.2-1"),
        (
            "a.yaml:7:26: error: algorithm version 1.2-1 can't be served: it writes pickled models, which are never loaded\n"
            ' 7 |     algorithm: {version: "1.2-1"}\n'
            "   |                          ^^^^^^^  use one of 3.0-5, 3.2-0"
        ),
    ),
    "an algorithm whose models 3.2 can't read": (
        GOOD.replace("3.2-0", "1.7-1"),
        (
            "a.yaml:7:26: error: algorithm version 1.7-1 can't be served: it writes a binary format that XGBoost 3.2 can't read\n"
            ' 7 |     algorithm: {version: "1.7-1"}\n'
            "   |                          ^^^^^^^  use one of 3.0-5, 3.2-0"
        ),
    ),
    "an algorithm nobody knows": (
        GOOD.replace("3.2-0", "9.9"),
        (
            "a.yaml:7:26: error: '9.9' is not a version of SageMaker's XGBoost that can be served\n"
            ' 7 |     algorithm: {version: "9.9"}\n'
            "   |                          ^^^^^  use one of 3.0-5, 3.2-0"
        ),
    ),
    "spot without a wait": (
        GOOD + "    spot: {enabled: true}\n",
        (
            "a.yaml:9:5: error: spot needs maxWait\n"
            " 9 |     spot: {enabled: true}\n"
            "   |     ^^^^  add 'maxWait', at least stopping.maxRuntime"
        ),
    ),
    "spot that waits less than it runs": (
        GOOD + "    spot: {enabled: true, maxWait: 30m}\n",
        (
            "a.yaml:9:36: error: spot.maxWait is 1800 s, less than stopping.maxRuntime of 3600 s\n"
            " 9 |     spot: {enabled: true, maxWait: 30m}\n"
            "   |                                    ^^^  at least 3600s, or a shorter stopping.maxRuntime"
        ),
    ),
    "a hyperparameter the algorithm lacks": (
        GOOD.replace("num_round: 10", "num_round: 10, max_deph: 6"),
        (
            "a.yaml:8:38: error: SageMaker's XGBoost has no hyperparameter 'max_deph'\n"
            " 8 |     hyperparameters: {num_round: 10, max_deph: 6}\n"
            "   |                                      ^^^^^^^^  did you mean 'max_depth'?"
        ),
    ),
    "a hyperparameter out of range": (
        GOOD.replace("num_round: 10", "num_round: 10, eta: 3"),
        (
            "a.yaml:8:43: error: hyperparameter 'eta' can't be 3\n"
            " 8 |     hyperparameters: {num_round: 10, eta: 3}\n"
            "   |                                           ^  it takes a number in [0, 1]"
        ),
    ),
    "no num_round": (
        GOOD.replace("num_round", "max_depth"),
        (
            "a.yaml:8:5: error: hyperparameter 'num_round' is required\n"
            " 8 |     hyperparameters: {max_depth: 10}\n"
            "   |     ^^^^^^^^^^^^^^^  say how many trees to grow"
        ),
    ),
    "an Environment in another account than its role": (
        HEAD.replace("ModelService", "Environment")
        + "spec: {account: '111111111111', assumeRole: 'arn:aws:iam::222222222222:role/r'}\n",
        (
            "a.yaml:4:45: error: assumeRole belongs to another account than 'account' says\n"
            " 4 | spec: {account: '111111111111', assumeRole: 'arn:aws:iam::222222222222:role/r'}\n"
            f"   |                                             {'^' * 34}"
        ),
    ),
    "a VPC link that nothing lets in": (
        HEAD.replace("ModelService", "Environment") + "spec: {edge: {vpcLink: abc123}}\n",
        (
            "a.yaml:4:24: error: a vpcLink of your own needs securityGroups of your own\n"
            " 4 | spec: {edge: {vpcLink: abc123}}\n"
            "   |                        ^^^^^^  name the groups that let it in as 'network.securityGroups'"
        ),
    ),
    "an account id that YAML reads as a number": (
        HEAD.replace("ModelService", "Environment") + "spec: {account: 123456789012}\n",
        (
            "a.yaml:4:17: error: spec.account must be text, not the number 123456789012\n"
            " 4 | spec: {account: 123456789012}\n"
            '   |                 ^^^^^^^^^^^^  put it in quotes: "123456789012"'
        ),
    ),
}


@pytest.mark.parametrize(("text", "expected"), CHANGED.values(), ids=CHANGED)
def test_an_error_inside_a_spec(text: str, expected: str) -> None:
    """Mistakes in what a spec must say are told at the field that makes them."""
    assert error_text(text) == expected


def test_all_errors_are_reported_together() -> None:
    """Errors in different sections and documents come together, in reading order."""
    text = (
        GOOD.replace("num_round", "max_deph").replace("3.2-0", "1.7-1")
        + "  service: {cpu: 0.5, memroy: 1}\n---\nkind: X\n"
    )
    lines = [line for line in error_text(text).splitlines() if line.startswith("a.yaml")]
    assert [line.split(": ")[0] for line in lines] == [
        "a.yaml:7:26",
        "a.yaml:8:5",
        "a.yaml:8:23",
        "a.yaml:9:18",
        "a.yaml:9:23",
        "a.yaml:11:7",
    ]


def test_control_characters_are_not_printed() -> None:
    """Control characters that YAML escapes may hide are not printed."""
    assert "\x1b" not in error_text(GOOD + '  environment: "\\e[2Jx"\n')


def test_overlong_line_is_not_quoted() -> None:
    """An error far to the right keeps its position and loses the picture."""
    assert error_text(GOOD + f"  service: {{env: {{A: {'x' * 300}}}, cpu: 1}}\n").startswith(
        "a.yaml:9:330: error: cpu 1 is ambiguous"
    )


def test_errors_of_later_checks_point_at_the_field() -> None:
    """A check outside this room points at a field of the file; one the file leaves out, at what is around it."""
    loaded = load_text(GOOD, "a.yaml").services["housing"]
    assert str(loaded.make_problem("spec.data.source", "no such file", "look again")) == (
        "a.yaml:5:18: error: no such file\n"
        " 5 |   data: {source: h.csv, target: value}\n"
        "   |                  ^^^^^  look again"
    )
    assert str(loaded.make_problem("spec.model.gates.0.max", "too low")).startswith("a.yaml:4:1: error: too low")
