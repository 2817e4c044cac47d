"""What painters of places share: colours by day and night, chance, and the things that hang in every sky."""

import torch
from torch import Tensor

from show1.worlds.brushes import Grid, disc, dots, fade, over, smoothstep
from show1.worlds.chance import Chance
from show1.worlds.motions import WORLD_HEIGHT, WORLD_WIDTH

_LIGHT_STRAYS, _HUE_STRAYS = 0.05, 0.02  # how far colours differ from clip to clip


class Stage:
    """A batch of clips of one place: where to draw, what chance says, and which are at night ([batch], 0 or 1)."""

    def __init__(self, grid: Grid, chance: Chance, night: Tensor) -> None:
        self.grid, self.night = grid, night
        self._chance = chance

    @property
    def batch(self) -> int:
        return len(self.night)

    def luck(self, purpose: str, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 [batch, count] in [low, high)."""
        return self._chance.uniform(purpose, count, low, high).to(self.night.device)

    def colour(self, day: str, night: str) -> Tensor:
        """A colour [batch, 3] by day or night from two hex codes, slightly different in every clip."""
        by_day, by_night = (_from_hex(code, self.night.device) for code in (day, night))
        base = by_day + (by_night - by_day) * self.night[:, None]
        light = self.luck(f"light {day}", 1, -_LIGHT_STRAYS, _LIGHT_STRAYS)
        return (base * (1 + light + self.luck(f"hue {day}", 3, -_HUE_STRAYS, _HUE_STRAYS))).clamp(0, 1)

    def sky(self, top: Tensor, bottom: Tensor, horizon: float) -> Tensor:
        """A new canvas [batch, 3, height, width]: a gradient down to the horizon, with moon and stars at night."""
        canvas = fade(self.grid, top, bottom, 0, horizon)
        if bool(self.night.any()):
            self.stars(canvas, self.night, horizon)
            self.moon(canvas)
        return canvas

    def stars(self, canvas: Tensor, strength: Tensor, lowest: float, count: int = 60) -> None:
        """Adds stars above y = lowest; strength is [batch]."""
        x, y = self.luck("star x", count) * WORLD_WIDTH, self.luck("star y", count) * lowest
        radius = self.luck("star size", count, 1.0, 2.3)
        weight = self.luck("star light", count, 0.45, 1.0) * strength[:, None]
        canvas.add_(dots(self.grid, x, y, radius, radius, weight)[:, None])

    def moon_place(self) -> tuple[Tensor, Tensor]:
        """Centre of the moon, x and y [batch]."""
        return self.luck("moon x", 1, 60, WORLD_WIDTH - 60)[:, 0], self.luck("moon y", 1, 36, 66)[:, 0]

    def moon(self, canvas: Tensor) -> None:
        """A pale moon with a halo, in clips at night."""
        x, y = self.moon_place()
        halo = torch.full_like(x, 42.0)[:, None]
        glow = dots(self.grid, x[:, None], y[:, None], halo, halo, 0.3 * self.night[:, None])
        pale = _from_hex("f6f1d5", self.night.device).expand(self.batch, 3)
        over(canvas, pale, glow)
        over(canvas, pale, disc(self.grid, x, y, torch.full_like(x, 21.0)) * self.night[:, None, None])

    def sun(self, canvas: Tensor, colour: str, lowest: float) -> None:
        """A sun with a halo, in clips by day."""
        x, y = self.luck("sun x", 1, 50, WORLD_WIDTH - 50), self.luck("sun y", 1, 34, lowest)
        halo = torch.full_like(x, 44.0)
        day = 1 - self.night
        shine = _from_hex(colour, self.night.device).expand(self.batch, 3)
        over(canvas, shine, dots(self.grid, x, y, halo, halo, 0.35 * day[:, None]))
        over(canvas, shine, disc(self.grid, x[:, 0], y[:, 0], torch.full_like(x[:, 0], 20.0)) * day[:, None, None])

    def clouds(self, canvas: Tensor, count: int, first: float, last: float, size: float = 1.0) -> None:
        """Fluffy clouds between two heights, each a heap of puffs; dim at night."""
        puffs = 9
        step = torch.arange(count, device=self.night.device)
        centre_x = (self.luck("cloud x", count) + step) * (WORLD_WIDTH / count)
        centre_y = self.luck("cloud y", count, first, last)
        spread = torch.linspace(-1, 1, puffs, device=self.night.device)
        scale = self.luck("cloud size", count, 0.75, 1.25)[..., None] * size
        jitter = self.luck("puffs", 3 * count * puffs, -1, 1).view(self.batch, 3, count, puffs)
        x = centre_x[..., None] + (46 * spread + 5 * jitter[:, 0]) * scale
        high = (1 - spread.square()) * (0.75 + 0.25 * jitter[:, 1])
        radius = (7 + 5 * high + 1.5 * jitter[:, 2]) * scale
        y = centre_y[..., None] + 7 * scale - radius - 9 * high * (torch.arange(puffs, device=x.device) % 2) * scale
        x, y, radius = (part.reshape(self.batch, -1) for part in (x, y, radius))
        field = dots(self.grid, x, y, radius, radius * 0.85, torch.ones_like(x))
        light, shade = self.colour("ffffff", "4a5878"), self.colour("c9dcec", "2a3656")
        bright = smoothstep(field, 0.5, 1.4)[:, None]
        puffy = shade[..., None, None] + (light - shade)[..., None, None] * bright
        over(canvas, puffy, smoothstep(field, 0.3, 0.62) * 0.95)


def _from_hex(code: str, device: torch.device) -> Tensor:
    return torch.tensor([int(code[at : at + 2], 16) / 255 for at in (0, 2, 4)], device=device)


HORIZON = 0.46 * WORLD_HEIGHT
