"""What an interpreter holds: run as `python -m bench.launch.inventory`, it answers in JSON.

A package that did not come from an index tells more than its version: two checkouts have the same one.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import metadata
from typing import Any

from bench.launch.machine import facts
from bench.schema.pairing import normalised


def inventory() -> dict[str, Any]:
    """Return versions of all packages by normalised name, the names of those that came from no index, and facts.

    Of the latter names those alone that lie below this interpreter's own prefix.
    """
    versions: dict[str, str] = {}
    direct: list[str] = []
    for found in metadata.distributions():  # the first of a name on the path is the one that is imported
        name = normalised(found.metadata["Name"] or "")
        if not name or name in versions:
            continue
        origin = _origin(found)
        versions[name] = f"{found.version} ({origin})" if origin else found.version
        if origin and str(found.locate_file("")).startswith(sys.prefix):
            direct.append(name)
    return {"versions": versions, "direct": direct, "facts": facts()}


def _origin(found: metadata.Distribution) -> str | None:
    """Say which files a package that came from no index consists of: a commit, or a hash; None for any other.

    See PEP 610. An editable package's files change without being installed, so it has no hash.
    """
    told = found.read_text("direct_url.json")
    if not told:
        return None
    url = json.loads(told)
    if commit := url.get("vcs_info", {}).get("commit_id"):
        return f"commit {commit[:10]}"
    if url.get("dir_info", {}).get("editable"):
        return "editable"
    listed = (found.read_text("RECORD") or "").splitlines()
    files = [line for line in listed if ".pyc," not in line and ".dist-info/" not in line]
    digest = hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()
    return f"files {digest[:10]}"


if __name__ == "__main__":
    print(json.dumps(inventory()))
