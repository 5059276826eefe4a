"""The Hugging Face hub: models and data sets, pinned to a commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    with _explained(repository):
        commit = HfApi().model_info(repository, revision=revision, timeout=PATIENCE_S).sha
        folder = snapshot_download(repository, revision=commit, allow_patterns=WANTED, ignore_patterns=UNWANTED)
    return Manifest(name=name, folder=str(folder), source="hub", origin=repository, revision=str(commit))


def data_commit(data_set: str) -> str:
    """Return the commit the hub's main revision of a data set is at. Raises as `fetch`."""
    with _explained(data_set):
        return str(HfApi().dataset_info(data_set, timeout=PATIENCE_S).sha)


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Tell apart a hub that refuses (`FetchError`, with the remedy) and one that is not there (`Unreachable`)."""
    try:
        yield
    except GatedRepoError as refusal:
        raise FetchError(
            f"{repository} is gated: accept its licence on its hub page, then log in with 'hf auth login' "
            "or set HF_TOKEN, and fetch again."
        ) from refusal
    except RevisionNotFoundError as refusal:
        raise FetchError(f"the hub has {repository!r}, but not the revision asked for.") from refusal
    except RepositoryNotFoundError as refusal:
        raise FetchError(f"the hub has no {repository!r}, or it is private.") from refusal
    except HfHubHTTPError as refusal:
        status = refusal.response.status_code if refusal.response is not None else 0
        if status >= 500:
            raise Unreachable(f"it answered with status {status}") from refusal
        raise FetchError(f"the hub refuses {repository}: {refusal}") from refusal
    except (OSError, TimeoutError) as trouble:
        raise Unreachable(type(trouble).__name__) from trouble
    except Exception as trouble:
        # the hub's client does not wrap every error of the HTTP library under it
        if type(trouble).__module__.startswith(("httpx", "httpcore", "requests")):
            raise Unreachable(type(trouble).__name__) from trouble
        raise
