"""How far a thing is, as a bar and as a clock. Pure."""

from __future__ import annotations

EIGHTHS = " ▏▎▍▌▋▊▉"
FULL, EMPTY = "█", "░"


def bar(share: float, width: int) -> str:
    """Draw a share, 0 to 1, `width` characters wide."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    drawn = FULL * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    return drawn + EMPTY * (width - len(drawn))


def clock(seconds: float) -> str:
    """Write a length of time as 4:05, or 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
