"""A separate program: fetch one commit from a remote, and list what it contains.

    python -m controller.sources.git_fetch URL REF DIRECTORY KNOWN

It talks to a remote and unpacks what that sends, so it runs apart from the controller: with bounded memory, and killed
when it takes too long. The answer is one line of JSON: `{"commit": …}`, `{"unchanged": …}` or `{"error": …}`. DIRECTORY
then is a bare repository with `listing.json` beside its objects. No work tree is ever made.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from dulwich.client import get_transport_and_path_from_url
from dulwich.object_store import BaseObjectStore
from dulwich.objects import Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

MAX_MEMORY_BYTES = 2 * 2**30
MAX_FILES = 100_000
MAX_DEPTH = 64


def resolve(refs: Mapping[Ref, ObjectID | None], ref: str) -> ObjectID:
    """Return the object that a branch, a tag, a full ref name or a commit's 40 digits names. Raises LookupError."""
    if len(ref) == 40 and all(digit in "0123456789abcdef" for digit in ref):
        return ObjectID(ref.encode())
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    for name in [*names, *(["HEAD"] if ref == "HEAD" else [])]:
        found = refs.get(Ref(name.encode()))
        if found is not None:
            return found
    raise LookupError(f"the remote has no branch and no tag {ref}")


def fetch(url: str, wanted: str, into: Path, known: str) -> dict[str, str]:
    """Fetch the object of a ref, unless it is `known`. Raises the errors of dulwich and the network."""
    user, token = os.environ.get("MOORAGE_GIT_USERNAME", "git"), os.environ.get("MOORAGE_GIT_TOKEN")
    access: dict[str, Any] = {"username": user, "password": token} if token and url.startswith("https:") else {}
    client, path = get_transport_and_path_from_url(url, quiet=True, **access)
    found = resolve(client.get_refs(path.encode()).refs, wanted)
    if found.decode() == known:
        return {"unchanged": known}
    with Repo.init_bare(str(into), mkdir=True) as repository:
        client.fetch(path, repository, determine_wants=lambda _refs, _depth=None: [found], depth=1)
        store, named = repository.object_store, repository.object_store[found]
        while isinstance(named, Tag):
            named = store[named.object[1]]
        if not isinstance(named, Commit):
            raise LookupError(f"{wanted} is no commit")  # noqa: TRY004  (what the remote has, not what a caller gave)
        entries = dict(listing(store, named.tree))
    (into / "listing.json").write_text(json.dumps(entries))
    return {"commit": named.id.decode(), "found": found.decode()}


def listing(store: BaseObjectStore, tree: ObjectID) -> Iterator[tuple[str, list[Any]]]:
    """Yield every entry below a tree: its path, and `[kind, id, size]`.

    The kind is `file`, `link`, `submodule`, or `odd` for a name that no path may have. Raises ValueError for a tree
    that is too deep or too large, LookupError for an object that isn't a tree.
    """
    left, count = [("", tree, 0)], 0
    while left:
        above, current, depth = left.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} directories deep: {above}")
        node = store[current]
        if not isinstance(node, Tree):
            raise LookupError(f"{above or 'the root'} is no tree")  # noqa: TRY004  (as above)
        for entry in node.iteritems():
            count += 1
            if count > MAX_FILES:
                raise ValueError(f"more than {MAX_FILES} files")
            name = _decode_name(entry.path)
            path = f"{above}{name or _printable(entry.path)}"
            if name is None:
                yield path, ["odd", "", 0]
            elif S_ISDIR(entry.mode):
                left.append((f"{path}/", entry.sha, depth + 1))
            elif S_ISREG(entry.mode):
                yield path, ["file", entry.sha.decode(), store[entry.sha].raw_length()]
            else:
                yield path, ["link" if entry.mode == 0o120000 else "submodule", "", 0]


def _decode_name(raw: bytes) -> str | None:
    """Return a name as text; None for one that would lead elsewhere or control a terminal."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return None
    odd = name in ("", ".", "..") or name.lower() == ".git" or "/" in name or "\\" in name or not name.isprintable()
    return None if odd else name


def _printable(raw: bytes) -> str:
    """Return an odd name in printable form: escaped, and in one piece."""
    return repr(raw)[2:-1].replace("/", "\\x2f")


def main(arguments: list[str]) -> int:
    """Fetch, and print the answer."""
    url, wanted, into, known = arguments
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    try:
        answer = fetch(url, wanted, Path(into), known)
    except MemoryError:
        answer = {"error": f"the commit needs more than {MAX_MEMORY_BYTES >> 30} GiB to unpack"}
    except Exception as error:  # noqa: BLE001  (dulwich raises many kinds; each is an answer)
        answer = {"error": f"{type(error).__name__}: {error}" if str(error) else type(error).__name__}
    print(json.dumps(answer))  # noqa: T201  (the answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
