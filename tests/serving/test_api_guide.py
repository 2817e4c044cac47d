"""Every example of docs/api.md is run as it stands, but for the server's address."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers import Process

GUIDE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
NOT_RUN = ("pip install",)  # installing and serving is what the tests themselves do


def examples(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return [text for text in found if not text.startswith(NOT_RUN)]


def test_the_guide_has_examples() -> None:
    assert (len(examples("python")), len(examples("sh"))) == (1, 4)


@pytest.mark.parametrize("language", ["python", "sh"])
def test_the_examples_run(server: Process, tmp_path: Path, language: str) -> None:
    text = "\n".join(examples(language)).replace("http://127.0.0.1:8000", server.address)
    command = [sys.executable, "-W", "ignore", "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
    show1 = f'show1() {{ "{sys.executable}" -m show1 "$@"; }}\n' if language == "sh" else ""
    done = subprocess.run(
        [*command, show1 + text], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr + done.stdout
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.is_file()}
    if language == "python":
        assert sizes.keys() == {"rocket.mp4", "rocket.webp", "rocket.jpg"} and min(sizes.values()) > 500
        assert " completed 48x32 1" in done.stdout
    else:
        assert sizes.keys() == {"job.json", "keyframes.mp4", "turtle.mp4", "turtle.webp"} and min(sizes.values()) > 300
        assert "event: stage" in done.stdout and "event: completed" in done.stdout
        assert '"status":"completed"' in done.stdout and '"deleted":true' in done.stdout
        assert (
            "sk-show1-" in done.stdout
            and "revoked: ann" in done.stdout
            and "error" not in done.stdout.replace('"error":null', "").replace('"error": null', "")
        )
