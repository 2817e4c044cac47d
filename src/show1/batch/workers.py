"""A worker of one stage: it loads that stage's networks once and takes run after run one stage further."""

from __future__ import annotations

import json
import logging
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from show1.batch.folder import SENT, BatchFolder
from show1.cascade.loading import NETWORKS, chosen_place, read_model
from show1.cascade.pipeline import Show1Pipeline
from show1.errors import CheckpointError, DataError, PromptError, SettingsError, Show1Error
from show1.runs.fingerprint import fingerprints
from show1.runs.making import encode_texts
from show1.runs.manifest import write_manifest
from show1.runs.request import OWN_COMPONENTS, Request
from show1.runs.run import Run
from show1.runs.stage_files import file_entry

logger = logging.getLogger(__name__)

HOPELESS = (CheckpointError, PromptError, SettingsError)
"""Errors that come again however often it is tried."""
PAUSE = 1.0
"""Seconds before a failed stage is tried again."""


class WorkerDiedError(Show1Error):
    """A prompt killed its workers."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a batch is made."""

    root: str
    """The batch's folder, seen under this path by all workers."""
    model: str
    """`bundled`, `published`, a folder or a hub id."""
    stop_after: str
    token: str
    """What the file `SENT` in the batch's folder says."""
    device: str | None = None
    """cuda, mps or cpu; chosen by every worker where None."""
    dtype: str | None = None
    """float32, float16 or bfloat16; what suits the device where None."""
    compiled: bool = False
    """Have torch compile the denoising networks."""
    threads: int = 1
    """Threads of torch in every worker. Another number can change the last bits of float sums, and so a video's bytes."""
    retries: int = 1
    """How often a stage that failed is tried again."""
    keep_runs: bool = False
    """Keep the runs of finished videos."""


def load_stage(
    model: str, stage: str | None, device: str | None = None, dtype: str | None = None, *, compiled: bool = False
) -> Show1Pipeline:
    """A model of which only one stage can be run; only that stage's weights are in memory (with T5 in the keyframe stage).

    Args:
        stage: None for outlines alone, enough to check requests.
        compiled: have torch compile the denoising networks.

    Raises:
        CheckpointError: what is missing or does not fit.
        SettingsError: there is no such device or dtype.
    """
    where, kind = chosen_place(device, dtype)
    others = [part for other, parts in OWN_COMPONENTS.items() if other != stage for part in parts]
    pipeline: Show1Pipeline = read_model(model, kind, outlines=[part for part in others if part in NETWORKS])
    pipeline.set_progress_bar_config(disable=True)
    return (pipeline.compile_networks() if compiled else pipeline).to(where)


class StageWorker:
    """Takes runs one stage further. Errors go into the row, so that no prompt stops the others.

    A row holds `id`, `key` and `request` (JSON), `texts` (the prompts' T5 embeddings as safetensors, made by the keyframe stage's
    worker for the other pixel stages) and `error` (empty while all is well).
    """

    def __init__(self, plan: Plan, stage: str) -> None:
        self.plan, self.stage, self.folder = plan, stage, BatchFolder(Path(plan.root))
        self.prints: dict[str, str] = {}

    @cached_property
    def pipeline(self) -> Show1Pipeline:
        """The stage's networks, loaded when the first run comes."""
        pipeline = load_stage(self.plan.model, self.stage, self.plan.device, self.plan.dtype, compiled=self.plan.compiled)
        self.prints = fingerprints(pipeline)
        if self.stage == "keyframes" and pipeline.load_text_encoder is not None:  # kept: it is needed for every prompt
            pipeline.register_modules(text_encoder=pipeline.load_text_encoder().to(pipeline.device))
            pipeline.load_text_encoder = None
        return pipeline

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Take the row's run one stage further, and try again where that fails."""
        torch.set_num_threads(self.plan.threads)  # here: OpenMP's number is the calling thread's own, and Ray begins with 1
        while not row["error"]:
            count = self.plan.retries + 1  # where not even that can be written
            try:
                count = self._begin(row["id"])
                row = {**row, "texts": self._advance(row)}
                break
            except Exception as error:
                message = str(error) if isinstance(error, Show1Error) else f"{type(error).__name__}: {error}"
                if isinstance(error, (*HOPELESS, WorkerDiedError)) or count > self.plan.retries:
                    row = {**row, "texts": b"", "error": f"{self.stage}: {message}"}
                else:
                    logger.warning("%s: %s: tried again: %s", row["id"], self.stage, message)
                    time.sleep(PAUSE)
        with suppress(OSError):  # it only counts
            self.folder.attempts(row["id"]).unlink(missing_ok=True)
        return row

    def _begin(self, name: str) -> int:
        """Count an attempt on disk, since a worker that dies cannot tell.

        Raises:
            WorkerDiedError: it died at this stage too often.
        """
        path, count = self.folder.attempts(name), 0
        if path.is_file():
            count = int(path.read_text() or 0)
        if count > self.plan.retries:
            raise WorkerDiedError(f"its worker died {count} times; perhaps there is too little memory")
        path.write_text(str(count + 1))
        return count + 1

    def _advance(self, row: dict[str, Any]) -> bytes:
        """Run the stage; the embeddings for the next one."""
        if self._token() != self.plan.token:
            raise DataError(
                f"a worker does not see the batch's folder '{self.folder.root}'; put it where all machines of the cluster see it"
            )
        request = Request.from_dict(json.loads(row["request"]))
        run = self._run(row["id"], request)
        texts = self._texts(run, row["texts"])
        run.advance(self.pipeline, texts=texts, until=self.stage, prints=self.prints)
        if self.stage == self.plan.stop_after:
            self._finish(row, run)
        return safetensors.torch.save(texts) if self.stage in ("keyframes", "interpolation") else b""

    def _token(self) -> str:
        try:
            return str(json.loads((self.folder.root / SENT).read_text())["token"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _run(self, name: str, request: Request) -> Run:
        """The run of the row's request; one of another request, or a damaged one, gives way."""
        place = self.folder.run(name)
        if place.is_dir():
            try:
                run = Run.open(place)
                if run.request == request:
                    return run
                run.delete()
            except DataError:
                shutil.rmtree(place)
        return Run.create(place, request)

    def _texts(self, run: Run, made: bytes) -> dict[str, Tensor]:
        if self.stage == "keyframes":
            texts = encode_texts(self.pipeline, run.request, run.settings(self.pipeline.settings))
            return {name: text.cpu().contiguous() for name, text in texts.items()}
        # Copied: tensors that lie unaligned in memory change the last bits of what kernels compute.
        return {name: text.clone() for name, text in safetensors.torch.load(made).items()} if made else {}

    def _finish(self, row: dict[str, Any], run: Run) -> None:
        """Write the finished video's record, then let the run go."""
        made, request = run.read(), run.request
        record = {
            "id": row["id"],
            "key": row["key"],
            **run.metadata(),
            **file_entry(self.folder.video(row["id"], request.ending)),
            "dtype": made["model"]["dtype"],
            "machine": made["machine"],
            "versions": made["versions"],
            "seconds": {stage: entry["seconds"] for stage, entry in made["stages"].items()},
        }
        write_manifest(self.folder.record(row["id"]), record)
        if not self.plan.keep_runs:
            self.folder.forget_run(row["id"])
