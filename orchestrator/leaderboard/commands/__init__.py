"""The subcommands of ``python -m orchestrator.leaderboard``, one per module: ``add`` its parser, ``run`` it."""
