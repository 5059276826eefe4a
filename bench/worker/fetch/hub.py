"""Models from the Hugging Face hub, pinned to a commit."""

from __future__ import annotations

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from bench.cache import Manifest
from bench.errors import FetchError

PATIENCE_S = 10.0
WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer.model"]
UNWANTED = ["original/*", "onnx/*", "runs/*", "*/*.safetensors"]


class Unreachable(Exception):  # noqa: N818 (a condition of the network, not an error of the user's)
    """The hub did not answer."""


def fetch(name: str, repository: str, revision: str) -> Manifest:
    """Download a model at a revision and return its manifest, which holds the commit.

    Raises `Unreachable` when there is no way to the hub, `FetchError` when it refuses.
    """
    try:
        commit = HfApi().model_info(repository, revision=revision, timeout=PATIENCE_S).sha
        folder = snapshot_download(repository, revision=commit, allow_patterns=WANTED, ignore_patterns=UNWANTED)
    except GatedRepoError as refusal:
        raise FetchError(
            f"{repository} is gated: accept its licence on its hub page, then log in with 'hf auth login' "
            "or set HF_TOKEN, and fetch again."
        ) from refusal
    except (RepositoryNotFoundError, RevisionNotFoundError) as refusal:
        raise FetchError(f"the hub has no model {repository!r} at {revision!r}, or it is private.") from refusal
    except HfHubHTTPError as refusal:
        status = refusal.response.status_code if refusal.response is not None else 0
        if status >= 500:
            raise Unreachable(f"it answered with status {status}") from refusal
        raise FetchError(f"the hub refuses {repository}: {refusal}") from refusal
    except (OSError, ConnectionError, TimeoutError) as trouble:
        raise Unreachable(type(trouble).__name__) from trouble
    except Exception as trouble:
        # the hub's client does not wrap every error of the HTTP library under it
        if "httpx" in type(trouble).__module__ or "requests" in type(trouble).__module__:
            raise Unreachable(type(trouble).__name__) from trouble
        raise
    return Manifest(name=name, folder=str(folder), source="hub", origin=repository, revision=str(commit))
