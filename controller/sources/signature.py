"""Verify that an allowed signer signed a commit: ssh signatures, checked by `ssh-keygen` as Git does."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from controller.errors import SourceError


def verify(payload: bytes, signature: bytes, allowed: Path, commit: str) -> str:
    """Return the name of the allowed signer. Raises SourceError if there is none, or if it can't be verified.

    `allowed` is a file as `ssh-keygen` describes it under ALLOWED SIGNERS. The signed content is Git's, in the
    namespace `git` (https://git-scm.com/docs/gitformat-signature).
    """
    where = f"commit {commit[:12]}"
    if not signature.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise SourceError("it has no ssh signature", where=where, hint="sign it, or leave out --allowed-signers")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "signature"
        file.write_bytes(signature)
        names = _keygen(["find-principals", "-s", str(file), "-f", str(allowed)], b"", where).splitlines()
        for name in names:
            _keygen(["verify", "-f", str(allowed), "-I", name, "-n", "git", "-s", str(file)], payload, where)
            return name
    raise SourceError("its signer isn't among the allowed ones", where=where)


def _keygen(arguments: list[str], given: bytes, where: str) -> str:
    try:
        done = subprocess.run(
            ["ssh-keygen", "-Y", *arguments], input=given, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError("its signature can't be checked", where=where, why=f"ssh-keygen: {error}") from error
    if done.returncode != 0:
        why = done.stderr.decode("utf-8", "replace").strip() or done.stdout.decode("utf-8", "replace").strip()
        raise SourceError("its signature isn't an allowed signer's", where=where, why=why)
    return done.stdout.decode("utf-8", "replace")
