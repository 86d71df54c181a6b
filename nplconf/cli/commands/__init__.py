"""One module per command, each with `arguments(parser)` and `run(arguments, settings) -> exit code`.

To add a command: add a module here, and list it in `cli.main.COMMANDS`.
"""
