"""The command `celeste`: one file per command, imported when it is called."""
