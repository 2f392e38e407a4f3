"""A paper's table with our numbers in it, whichever paper: what stands in a cell, in a terminal and on a page."""

from orchestrator.leaderboard.paper.cells import Comparison, Numbers, Place, text
from orchestrator.leaderboard.paper.page import page
from orchestrator.leaderboard.paper.terminal import block

__all__ = ["Comparison", "Numbers", "Place", "block", "page", "text"]
