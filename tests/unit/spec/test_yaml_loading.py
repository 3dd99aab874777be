"""What of YAML is read, what is refused, and which files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.errors import SpecError
from controller.spec.load import load_specs, load_text

ROOT = Path(__file__).resolve().parents[3]
SPEC = """\
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {name: housing}
spec:
  data: {source: h.csv, target: value}
  training:
    algorithm: {version: "3.2-0"}
    hyperparameters: {num_round: 10}
"""
ENVIRONMENT = "apiVersion: moorage/v1alpha1\nkind: Environment\nmetadata: {name: prod}\n"
# Nine levels of nine references each: 3.9 million elements out of 306 bytes.
ALIAS_BOMB = (
    "---\na: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n"
    + "".join(f"{n}: &{n} [{','.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdef", "bcdefg", strict=True))
    + f"h: [{','.join(['*g'] * 13)}]\n...\n"
)


def messages(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_text(text, "a.yaml")
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("on", "on"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("'true'", "true"),
        ("0o17x", "0o17x"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-01-01", "2026-01-01"),
        ("=", "="),
        ("5.3.1", "5.3.1"),
    ],
)
def test_yaml_1_1_implicit_types_stay_text(written: str, read: str) -> None:
    """Words, times, dates and versions stay what they look like."""
    text = SPEC + f"  service: {{env: {{A: {written}}}}}\n"
    assert load_text(text).services["housing"].model.spec.service.env["A"] == read


@pytest.mark.parametrize(
    ("written", "value"),
    [("0.3", 0.3), ("3e-1", 0.3), (".3", 0.3), ("0x1", 1), ("0o1", 1), ("+1", 1), ("1.", 1.0)],
)
def test_numbers_are_yaml_1_2s(written: str, value: float) -> None:
    """Numbers without a dot before the exponent, and 0o octals, are numbers."""
    text = SPEC.replace("num_round: 10", f"num_round: 10, eta: {written}")
    assert load_text(text).services["housing"].model.spec.training.hyperparameters["eta"] == value


def test_an_infinite_or_endless_number_is_refused() -> None:
    """`.inf` and 5,000 digits are errors, not crashes."""
    assert messages(SPEC.replace("num_round: 10", "num_round: 10, alpha: .inf")) == [
        "hyperparameter 'alpha' can't be inf"
    ]
    assert messages(SPEC + f"  service: {{desiredCount: {'9' * 5000}}}\n")
    assert messages(SPEC + "  model: {gates: [{metric: rmse, max: .nan}]}\n")


def test_the_alias_bomb_is_refused_at_its_first_anchor() -> None:
    """306 bytes that stand for millions of elements yield messages about anchors and aliases, and nothing is built."""
    assert len(ALIAS_BOMB) == 306
    assert set(messages(ALIAS_BOMB)) >= {"anchor '&a' is not allowed", "alias '*g' is not allowed"}


@pytest.mark.parametrize("deep", ["[" * 100_000, "{a: " * 60, "- " * 60, "? " * 60])
def test_depth_is_limited(deep: str) -> None:
    """More than 50 levels are refused at the first one too many, however many follow."""
    assert messages(deep)[-1] == "more than 50 levels deep"


def test_empty_documents_are_skipped() -> None:
    """Empty documents and comments between separators are no error."""
    assert list(load_text(f"---\n# nothing\n---\n{SPEC}---\n").services) == ["housing"]


def test_broken_yaml_does_not_hide_the_documents_before_it() -> None:
    """What could be read before the YAML broke is checked all the same."""
    assert messages("kind: X\n---\na: [") == [
        "unknown kind 'X'",
        "not valid YAML: expected the node content, but found '<stream end>'",
    ]


def test_a_directory_is_read_in_order_and_hidden_files_are_not(tmp_path: Path) -> None:
    """`*.yaml` and `*.yml` below a directory, sorted; other files and hidden ones are left alone."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x.yml").write_text(SPEC)
    (tmp_path / "a.yaml").write_text(ENVIRONMENT)
    (tmp_path / ".hidden.yaml").write_text("kind: Nonsense")
    (tmp_path / "notes.txt").write_text("kind: Nonsense")
    specs = load_specs([tmp_path])
    assert (list(specs.environments), list(specs.services)) == (["prod"], ["housing"])
    assert specs.get_environment("prod").spec.region == "us-east-1"
    assert specs.services["housing"].resolve_path("d.csv") == str(tmp_path / "b/d.csv")


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    """Naming a directory and a file in it is no duplicate name."""
    (tmp_path / "a.yaml").write_text(SPEC)
    assert list(load_specs([tmp_path, tmp_path / "a.yaml"]).services) == ["housing"]


def test_an_unknown_environment_may_be_in_another_file(tmp_path: Path) -> None:
    """References are looked up over all files, with the nearest name where there is none."""
    (tmp_path / "a.yaml").write_text(SPEC + "  environment: prod\n")
    (tmp_path / "b.yaml").write_text(ENVIRONMENT)
    load_specs([tmp_path])
    (tmp_path / "a.yaml").write_text(SPEC + "  environment: prd\n")
    with pytest.raises(SpecError, match=r"unknown Environment 'prd'(?s:.*)did you mean 'prod'\?"):
        load_specs([tmp_path])


def test_all_unusable_files_are_reported(tmp_path: Path) -> None:
    """Missing, too large, not UTF-8, a link that leads out: each is a problem, and the others are still read."""
    outside = tmp_path / "outside.yaml"
    outside.write_text(SPEC)
    root = tmp_path / "specs"
    root.mkdir()
    (root / "big.yaml").write_text("#" * (256 * 1024 + 1))
    (root / "latin.yaml").write_bytes(b"# one\n# caf\xe9\n")
    (root / "link.yaml").symlink_to(outside)
    (root / "up").symlink_to(tmp_path)
    (root / "wrong.yaml").write_text("kind: X")
    with pytest.raises(SpecError) as caught:
        load_specs([root, tmp_path / "missing.yaml"])
    assert [str(problem).split("\n")[0].removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [
        "specs/big.yaml:1:1: error: larger than 256 KiB (a spec holds no data: name a file of it)",
        "specs/latin.yaml:2:6: error: not UTF-8 text (save the file as UTF-8)",
        "specs/link.yaml:1:1: error: a link that leads out of specs (put the file itself there)",
        "specs/up:1:1: error: a link that leads out of specs (put the file itself there)",
        "missing.yaml:1:1: error: no such file or directory",
        "specs/wrong.yaml:1:7: error: unknown kind 'X'",
    ]


def test_a_link_inside_the_directory_is_read_once(tmp_path: Path) -> None:
    """The way a mounted ConfigMap looks: links to a hidden directory beside them."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data/a.yaml").write_text(SPEC)
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    assert list(load_specs([tmp_path]).services) == ["housing"]


def test_empty_directory_is_an_error(tmp_path: Path) -> None:
    """An empty directory is a mistake, not a wish for nothing."""
    with pytest.raises(SpecError, match="no Environment and no ModelService here"):
        load_specs([tmp_path])


def test_the_demo_spec_loads() -> None:
    """The repository's own specs are right, and the demo's data file is where the spec says."""
    specs = load_specs([ROOT / "specs"])
    service = specs.services["housing-model"]
    assert specs.get_environment(service.model.spec.environment).name == "default"
    assert (service.model.spec.service.cpu, service.model.spec.service.memory) == (256, 1024)
    assert service.document.source.read_file(service.resolve_path(service.model.spec.data.source))


_WORDS = st.sampled_from(
    [
        "apiVersion",
        "moorage/v1alpha1",
        "kind",
        "ModelService",
        "spec",
        "service",
        "cpu",
        "&a",
        "*a",
        "!!x",
        "null",
        "1",
        "0.5",
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "- ",
        "? ",
        ",",
        "\n",
        "\n  ",
        "\t",
        "'",
        '"',
        "|",
        ">",
        "%",
        "#",
        "---\n",
        "...",
        "\\U",
        "\ud800",
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.lists(_WORDS, max_size=60).map("".join), st.text(max_size=200)))
def test_no_text_raises_anything_but_a_spec_error(text: str) -> None:
    """Whatever a file holds, the answer is a SpecError with problems that can be printed, or specs."""
    try:
        load_text(text)
    except SpecError as error:
        str(error).encode()


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.lists(st.integers(), max_size=2)
)
_PATHS = [
    "data", "training", "model", "image", "service", "api", "policy", "data.split", "training.hyperparameters",
    "service.env", "service.health", "service.secrets", "api.routes", "api.cors", "model.gates", "policy.deletion",
    "training.spot", "service.cpu", "service.memory", "service.stopTimeout", "training.instance.volume", "api.throttle",
    "environment", "training.algorithm.version",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_PATHS), st.one_of(_SCALARS, st.dictionaries(st.text(max_size=8), _SCALARS, max_size=3)))
def test_no_value_raises_anything_but_a_spec_error(path: str, value: object) -> None:
    """Any value in any place of a spec is told as a problem, or taken."""
    line = SPEC + "  service: {}\n" if path.startswith("service.") else SPEC
    nested = json.dumps(value)
    for step in reversed(path.split(".")):
        nested = f"{{{json.dumps(step)}: {nested}}}"
    document = f"apiVersion: moorage/v1alpha1\nkind: ModelService\nmetadata: {{name: a}}\nspec: {nested}\n"
    for text in (document, line + f"  {nested[1:-1]}\n"):
        try:
            load_text(text)
        except SpecError as error:
            str(error).encode()
