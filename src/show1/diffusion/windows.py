"""The window planner: which frames a stage works on at a time, for any number of frames, leaving none out."""

from __future__ import annotations

from dataclasses import dataclass

from show1.errors import SettingsError


@dataclass(frozen=True)
class Window:
    """Frames `start` to `stop` (exclusive) go in; those from `keep` on come out, earlier ones are already done."""

    start: int
    stop: int
    keep: int


def plan_windows(frames: int, length: int, stride: int) -> list[Window]:
    """Cover `frames` frames with windows of `length`, `stride` apart.

    Neighbours overlap by `length - stride` frames, which the later window writes again (as published). A rest that
    fills no whole window gets one moved back to end on the last frame, of which only the frames not yet done come out;
    fewer frames than `length` make one short window.

    Raises:
        SettingsError: no frames, or windows that leave gaps.
    """
    if frames < 1:
        raise SettingsError(f"cannot plan windows over {frames} frames; at least 1 is needed")
    if not 1 <= stride <= length:
        raise SettingsError(f"windows of {length} frames cannot be {stride} apart; use a stride from 1 to {length}")
    if frames <= length:
        return [Window(0, frames, 0)]
    windows = [Window(start, start + length, start) for start in range(0, frames - length + 1, stride)]
    done = windows[-1].stop
    if done < frames:
        windows.append(Window(frames - length, frames, done))
    return windows
