"""The multi-teacher thesis's Tables 5.1 to 5.9, each cell with our number and the printed one."""

from orchestrator.leaderboard.multi_teacher.comparison import Table, choose_sweep, tables
from orchestrator.leaderboard.multi_teacher.terminal import blocks

__all__ = ["Table", "blocks", "choose_sweep", "tables"]
