"""What leads from every page to the others."""

from __future__ import annotations

MENU = (
    ("index.html", "Findings"),
    ("claims.html", "Claims"),
    ("methods.html", "Methods"),
    ("memory.html", "Memory"),
    ("hardware.html", "Hardware"),
    ("upgrades.html", "Upgrades"),
    ("explore.html", "Explore"),
    ("published.html", "Published"),
    ("method.html", "Method"),
    ("data.html", "Data"),
)
"""Pages that every page leads to, and what they are called there; questions are on the first one."""


def root_of(path: str) -> str:
    """Return what leads from a page back to the site's root."""
    return "../" * path.count("/")
