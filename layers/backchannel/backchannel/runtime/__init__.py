"""The edge of the process: settings, logger and metrics, one CPU for a pool of threads."""
