"""The multi-teacher thesis's Tables 5.1 to 5.9, each cell with our number and the printed one."""

from orchestrator.leaderboard.multi_teacher.comparison import Table, belonging, tables
from orchestrator.leaderboard.multi_teacher.terminal import blocks

__all__ = ["Table", "belonging", "blocks", "tables"]
