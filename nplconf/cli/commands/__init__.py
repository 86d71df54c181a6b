"""One module per command, each with `arguments(parser)` and `run(arguments, settings) -> exit code`."""
