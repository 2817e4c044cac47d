"""Writing and uploading a pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import nn

from show1.cascade.hub import HUB_OPTIONS, upload_model
from show1.cascade.model_card import model_card
from show1.cascade.settings import CascadeSettings


class Shareable(DiffusionPipeline):
    """A pipeline that is written whole, with its card."""

    settings: CascadeSettings
    vocabulary: Mapping[str, list[str]]
    text_encoder: nn.Module | None
    load_text_encoder: Callable[[], nn.Module] | None

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | Path, *, push_to_hub: bool = False, repo_id: str | None = None, **options: Any
    ) -> None:
        """Write everything into one folder in diffusers' format (T5 too, where it is loaded on demand), with a model card.

        `push_to_hub` then uploads it to `repo_id`, or to a repository with the folder's name; see `push_to_hub` for its options.
        """
        hub = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
        name = repo_id or Path(save_directory).resolve().name
        with self._whole():
            super().save_pretrained(save_directory, **options)
        (Path(save_directory) / "README.md").write_text(self.model_card(name), encoding="utf-8")
        if push_to_hub:
            upload_model(Path(save_directory), name, **hub)

    def push_to_hub(self, repo_id: str, *, variant: str | None = None, **options: Any) -> str:  # type: ignore[override]
        """Upload the model with its card to a hub repository, which is made where it is not there.

        Args:
            repo_id: `user/name`.
            variant: what to name the weights' files by, e.g. `fp16`.
            options: `private`, `token`, `commit_message`, `create_pr`.

        Returns:
            The commit's address.

        Raises:
            CheckpointError: the hub cannot be reached, or does not let you.
        """
        with tempfile.TemporaryDirectory() as folder:
            with self._whole():
                super().save_pretrained(folder, variant=variant)
            (Path(folder) / "README.md").write_text(self.model_card(repo_id), encoding="utf-8")
            return upload_model(Path(folder), repo_id, **options)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """With T5 in place, where it is loaded on demand."""
        if self.text_encoder is not None or self.load_text_encoder is None:
            yield
            return
        self.register_modules(text_encoder=self.load_text_encoder())
        try:
            yield
        finally:
            self.register_modules(text_encoder=None)

    def model_card(self, name: str) -> str:
        """The text of the model's card: networks, settings, vocabulary, training (configuration, data, steps, metrics), licence."""
        sizes = {key: sum(p.numel() for p in part.parameters()) for key, part in self.components.items() if isinstance(part, nn.Module)}
        records, licence = self.config.get("training") or {}, self.config.get("licence")
        return model_card(sizes, self.settings.to_dict(), self.vocabulary, records, licence=licence, name=name)
