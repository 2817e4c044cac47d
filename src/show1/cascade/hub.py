"""Uploading a model's folder to the hub."""

from __future__ import annotations

from pathlib import Path

from show1.errors import CheckpointError

HUB_OPTIONS = ("private", "token", "commit_message", "create_pr")


def upload_model(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload a saved pipeline's folder; returns the commit's address.

    Raises:
        CheckpointError: no such name can be, the hub cannot be reached, or it does not let you.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(token=token)
    try:
        made = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        message = commit_message or "Upload Show1Pipeline"
        commit = api.upload_folder(repo_id=made, folder_path=folder, commit_message=message, create_pr=create_pr)
    except (HfHubHTTPError, HFValidationError, httpx.HTTPError, OSError) as error:
        raise CheckpointError(
            f"'{repo_id}' could not be uploaded: {str(error).strip().splitlines()[0]}; the hub wants a token that may write "
            "(`hf auth login`) and a name like user/model"
        ) from error
    return str(commit.commit_url)
