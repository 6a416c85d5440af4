"""The report as one HTML page, and as Markdown."""

from emotion_circuits.reporting.page.html import render_page
from emotion_circuits.reporting.page.markdown import render_markdown

__all__ = ["render_markdown", "render_page"]
