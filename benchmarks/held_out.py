"""Videos of held-out prompts, to be read by eye: object, place and motion. Run: python benchmarks/held_out.py DIR [COUNT] [FIRST]

Writes the videos, a strip of eight frames for each, and prompts.txt. Prompts are drawn with fixed seeds from the one in ten
combinations of object, place and motion that nothing was trained on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from show1 import Show1Pipeline, write_video
from show1.video import contact_sheet, to_pil
from show1.worlds.emoji import EmojiWorld, caption
from show1.worlds.sprites import SpriteStore

STRIP = 8


def held_out_prompts(objects: list[str], max_count: int, number: int) -> list[str]:
    """Captions of held-out scenes of these objects, scene and caption from seeds 0, 1, 2, ..."""
    world = EmojiWorld(SpriteStore.synthetic(objects), objects=objects, max_count=max_count)
    return [caption(world.sample_scene(seed, split="held-out"), seed) for seed in range(number)]


def main(folder: Path, number: int = 20, first: int = 0) -> None:
    """Make the videos of prompts `first` to `number`."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = Show1Pipeline.from_pretrained()
    words = pipeline.vocabulary
    prompts = held_out_prompts(words["objects"], len(words["counts"]), number)
    (folder / "prompts.txt").write_text("\n".join(prompts) + "\n")
    for seed, prompt in list(enumerate(prompts))[first:]:
        result = pipeline(prompt, seed=seed, output_type="pt")
        video = result.latent_upscaled[0]
        write_video(video, folder / f"{seed:02}.mp4", pipeline.settings.fps, {"prompt": prompt, "seed": seed})
        frames = to_pil(video)
        picked = [frames[round(i * (len(frames) - 1) / (STRIP - 1))].resize((192, 107)) for i in range(STRIP)]
        contact_sheet([picked]).save(folder / f"{seed:02}.png")
        print(f"{seed:02} {prompt}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
