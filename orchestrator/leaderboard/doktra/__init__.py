"""The DoKTra paper's Tables 2 to 7, each cell with our number and the paper's.

console.print(block(compare(rows, 2), console))
"""

from orchestrator.leaderboard.doktra.comparison import Comparison, compare
from orchestrator.leaderboard.paper import block, page

__all__ = ["Comparison", "block", "compare", "page"]
