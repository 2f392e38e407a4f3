"""The VE-KD paper's tables and figures, ours beside the printed numbers where there are any.

console.print(block(compare(rows, vekd_tables.get(1)), console))
"""

from orchestrator.leaderboard.paper import block, page
from orchestrator.leaderboard.vekd.comparison import Comparison, compare
from orchestrator.leaderboard.vekd.figures import Drawn, draw
from orchestrator.leaderboard.vekd.picture import png

__all__ = ["Comparison", "Drawn", "block", "compare", "draw", "page", "png"]
