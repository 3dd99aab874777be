"""Specs from real Git repositories: good ones, gone ones, signed ones, and trees that were made to do harm."""

from __future__ import annotations

import asyncio
import subprocess
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.repo import Repo

from controller.errors import MoorageError, SourceError, SpecError, UsageError
from controller.sources.git_source import GitAddress, GitSource
from controller.sources.snapshots import Snapshot

SPEC = """
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {name: m}
spec:
  data: {source: DATA, target: y}
  training: {algorithm: {name: xgboost, version: "3.2-0"}, hyperparameters: {num_round: 3}}
"""
ROWS = "y,x\n" + "".join(f"{n},{n * 2}\n" for n in range(60))
FILE, LINK, SUBMODULE, DIRECTORY = 0o100644, 0o120000, 0o160000, 0o040000
Node = bytes | tuple[int, bytes] | Mapping[bytes, "Node"]


@dataclass
class Remote:
    """A bare repository whose trees are written object by object, so that they may hold what Git itself
    refuses to add.
    """

    directory: Path
    made: int = 0
    repository: Repo = field(init=False)

    def __post_init__(self) -> None:
        self.repository = Repo.init_bare(str(self.directory), mkdir=True)

    @property
    def address(self) -> str:
        return f"git+file://{self.directory}@main:specs"

    def tree(self, nodes: Mapping[bytes, Node]) -> ObjectID:
        tree = Tree()
        for name, node in nodes.items():
            if isinstance(node, Mapping):
                tree.add(name, DIRECTORY, self.tree(node))
                continue
            mode, content = node if isinstance(node, tuple) else (FILE, node)
            blob = Blob.from_string(content)
            self.repository.object_store.add_object(blob)
            tree.add(name, mode, blob.id)
        self.repository.object_store.add_object(tree)
        return tree.id

    def commit(self, nodes: Mapping[bytes, Node]) -> str:
        commit = Commit()
        commit.tree = self.tree(nodes)
        commit.author = commit.committer = b"A <a@example.com>"
        self.made += 1
        commit.author_time = commit.commit_time = 1_700_000_000 + self.made
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"change"
        self.repository.object_store.add_object(commit)
        self.repository.refs[b"refs/heads/main"] = commit.id
        return commit.id.decode()


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "remote.git")


def spec(data: str = "../data/rows.csv") -> bytes:
    return SPEC.replace("DATA", data).encode()


VALID_TREE: Mapping[bytes, Node] = {b"specs": {b"m.yaml": spec()}, b"data": {b"rows.csv": ROWS.encode()}}


def source(address: str, cache: Path, signers: Path | None = None) -> GitSource:
    return GitSource(GitAddress.parse(address), cache, signers=signers)


def read(git: GitSource) -> Snapshot:
    return asyncio.run(git.read())


def read_error(git: GitSource) -> str:
    with pytest.raises(MoorageError) as raised:
        read(git)
    return str(raised.value)


def test_a_commit_is_read_from_blobs(remote: Remote, tmp_path: Path) -> None:
    """Specs below PATH, data beside them elsewhere in the repository, the commit's id and author.

    No file of either on the disk.
    """
    commit = remote.commit(VALID_TREE)
    snapshot = read(source(remote.address, tmp_path / "cache"))
    assert (snapshot.commit, list(snapshot.specs.services)) == (commit, ["m"])
    assert snapshot.author == "A <a@example.com>"
    assert len(snapshot.data["m"].channels["train"].content) > 100
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".yaml", ".csv")]


def test_new_commit_replaces_the_cached_one(remote: Remote, tmp_path: Path) -> None:
    """The next read gives the next commit; the cache holds only that one."""
    remote.commit(VALID_TREE)
    git = source(remote.address, tmp_path / "cache")
    first = read(git)
    assert read(git) is first
    second = remote.commit({**VALID_TREE, b"README": b"hello"})
    assert read(git).commit == second
    assert [path.name for path in git._cache.iterdir() if path.is_dir()] == [second]


def test_broken_commit_is_reported_with_its_position(remote: Remote, tmp_path: Path) -> None:
    """File, line and column within the repository, at each read until it is mended."""
    remote.commit(VALID_TREE)
    git = source(remote.address, tmp_path / "cache")
    read(git)
    remote.commit({**VALID_TREE, b"specs": {b"m.yaml": spec().replace(b"target", b"taget")}})
    for _ in range(2):
        with pytest.raises(SpecError) as raised:
            read(git)
        assert (raised.value.problems[0].file, raised.value.problems[0].line) == ("specs/m.yaml", 6)
    mended = remote.commit(VALID_TREE)
    assert read(git).commit == mended


def test_unreachable_remote_is_an_error_or_falls_back_at_start(remote: Remote, tmp_path: Path) -> None:
    """Out of reach, reading fails; a controller that starts meanwhile begins with what was good last."""
    good = remote.commit(VALID_TREE)
    git = source(remote.address, tmp_path / "cache")
    read(git)
    remote.directory.rename(tmp_path / "away")
    assert "it can't be read" in read_error(git)
    restarted = source(remote.address, tmp_path / "cache")
    assert read(restarted).commit == good
    with pytest.raises(SourceError):
        read(source(remote.address, tmp_path / "empty"))


@pytest.mark.parametrize("ref", ["v1", "refs/tags/v1", "refs/heads/main", "COMMIT"])
def test_supported_refs(remote: Remote, tmp_path: Path, ref: str) -> None:
    """Branch, tag (an annotated one leads to its commit), full name, and a commit's own id."""
    commit = remote.commit(VALID_TREE)
    subprocess.run(
        [
            "git",
            "-C",
            str(remote.directory),
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "tag",
            "-a",
            "v1",
            "-m",
            "x",
            commit,
        ],
        check=True,
    )
    address = f"git+file://{remote.directory}@{ref.replace('COMMIT', commit)}:specs"
    assert read(source(address, tmp_path / "cache")).commit == commit


def test_a_ref_that_is_not_there(remote: Remote, tmp_path: Path) -> None:
    """The answer names it."""
    remote.commit(VALID_TREE)
    assert "no branch and no tag nope" in read_error(source(f"git+file://{remote.directory}@nope", tmp_path / "cache"))


def with_data(node: Node, name: str = "../data/rows.csv") -> Mapping[bytes, Node]:
    return {b"specs": {b"m.yaml": spec(name)}, b"data": {b"rows.csv": node}}


HOSTILE_TREES: dict[str, tuple[Mapping[bytes, Node], str]] = {
    "a spec that is a link": ({**VALID_TREE, b"specs": {b"m.yaml": (LINK, b"/etc/passwd")}}, "a symbolic link"),
    "data that is a link": (with_data((LINK, b"/etc/passwd")), "this is a symbolic link"),
    "a directory that is a link": (
        {b"specs": {b"m.yaml": spec()}, b"data": (LINK, b"/etc")},
        "this is not in this commit",
    ),
    "the specs are a link": ({b"specs": (LINK, b"/etc")}, "a symbolic link"),
    "the specs are a submodule": ({b"specs": (SUBMODULE, b"x")}, "a submodule"),
    "data above the root": (with_data(b"", "../../../../etc/passwd"), "this leads out of the repository"),
    "data by an absolute path": (with_data(b"", "/etc/passwd"), "passwd"),
    "data that is a directory": (with_data({b"x": b""}), "this is not in this commit"),
    "a name that is ..": ({b"specs": {b"..": {b"m.yaml": spec()}}}, "no Environment and no ModelService here"),
    "a name that is .git": ({b"specs": {b".GIT": {b"m.yaml": spec()}}}, "no Environment and no ModelService here"),
    "a name with a slash": ({b"specs": {b"a/../../m.yaml": spec()}}, "not a name that a file may have"),
    "a name that steers a terminal": ({b"specs": {b"\x1b[2Jm.yaml": spec()}}, "not a name that a file may have"),
    "a name that is no text": ({b"specs": {b"\xff.yaml": spec()}}, "not a name that a file may have"),
    "a spec too large": ({b"specs": {b"m.yaml": b"a: b\n" * 100_000}}, "larger than 256 KiB"),
    "a pointer of LFS": (with_data(b"version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS"),
    "no specs": ({b"README": b"hello"}, "no Environment and no ModelService here"),
}


@pytest.mark.parametrize("name", HOSTILE_TREES)
def test_hostile_trees_are_refused(remote: Remote, tmp_path: Path, name: str) -> None:
    """Links, submodules, paths that lead out, odd names, huge specs: each is an error that says so, and nothing is
    declared.
    """
    nodes, words = HOSTILE_TREES[name]
    remote.commit(nodes)
    message = read_error(source(remote.address, tmp_path / "cache"))
    assert words in message
    assert "\x1b" not in message
    assert "root:" not in message


def test_a_blob_that_unpacks_to_more_than_memory(remote: Remote, tmp_path: Path) -> None:
    """Three GiB of zeros, three MB on the wire: the fetch ends, the controller doesn't."""
    remote.commit(VALID_TREE)
    store = remote.directory / "objects"
    name = b"9" * 40
    packer = zlib.compressobj(1)
    (store / "99").mkdir()
    with (store / "99" / ("9" * 38)).open("wb") as file:
        file.write(packer.compress(b"blob %d\0" % (3 * 2**30)))
        for _ in range(3 * 2**10):
            file.write(packer.compress(bytes(2**20)))
        file.write(packer.flush())
    tree = Tree()
    tree.add(b"bomb", FILE, ObjectID(name))
    remote.repository.object_store.add_object(tree)
    commit = Commit()
    commit.tree, commit.author, commit.committer = tree.id, b"A <a@b>", b"A <a@b>"
    commit.author_time = commit.commit_time = commit.author_timezone = commit.commit_timezone = 0
    commit.message = b""
    remote.repository.object_store.add_object(commit)
    remote.repository.refs[b"refs/heads/main"] = commit.id
    assert "it can't be read" in read_error(source(remote.address, tmp_path / "cache"))


def test_only_allowed_signers_are_accepted(remote: Remote, tmp_path: Path) -> None:
    """A commit signed by an allowed key is taken; one by another key, an unsigned one, and a changed one are not."""
    keys = {name: tmp_path / name for name in ("ours", "theirs")}
    for file in keys.values():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"team@example.com {keys['ours'].with_suffix('.pub').read_text()}")
    remote.commit(VALID_TREE)
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "-q", "-b", "main", str(remote.directory), str(work)], check=True)

    def push(*options: str) -> None:
        user = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "gpg.format=ssh"]
        git = ["git", "-C", str(work), *user, *options]
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "change"], check=True)
        subprocess.run(["git", "-C", str(work), "push", "-q", "origin", "main"], check=True)

    git = source(remote.address, tmp_path / "cache", allowed)
    assert "it has no ssh signature" in read_error(git)
    push("-c", "commit.gpgsign=true", "-c", f"user.signingkey={keys['theirs']}.pub")
    assert "allowed" in read_error(git)
    push("-c", "commit.gpgsign=true", "-c", f"user.signingkey={keys['ours']}.pub")
    good = read(git)
    assert good.commit
    signed = remote.repository[ObjectID(good.commit.encode())]
    assert isinstance(signed, Commit)
    forged = Commit.from_string(signed.as_raw_string().replace(b"\nchange", b"\nforged"))
    remote.repository.object_store.add_object(forged)
    remote.repository.refs[b"refs/heads/main"] = forged.id
    assert "isn't an allowed signer's" in read_error(git)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://host/r@main", "git+"),
        ("git+https://host/r", "REF is missing"),
        ("git+https://host@main", "REF is missing"),
        ("git+ftp://host/r@main", "https, ssh or file"),
        ("git+http://host/r@main", "https, ssh or file"),
        ("git+https://me:secret@host/r@main", "MOORAGE_GIT_TOKEN"),
        ("git+https://token@host/r@main", "MOORAGE_GIT_TOKEN"),
        ("git+https://host/r@main:../other", "leads out"),
    ],
)
def test_addresses_that_are_refused(text: str, words: str) -> None:
    """Each says what is wrong, and repeats no secret."""
    with pytest.raises(UsageError, match="REF") as raised:
        GitAddress.parse(text)
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


def test_addresses() -> None:
    """URL, ref and path are told apart, whatever signs the URL has."""
    assert GitAddress.parse("git+ssh://git@host:22/a/b@v1:x/y/") == GitAddress("ssh://git@host:22/a/b", "v1", "x/y")
    assert GitAddress.parse("git+https://host/r@feature/x") == GitAddress("https://host/r", "feature/x", "")
