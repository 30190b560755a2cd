"""Work in processes of its own: a hang, a crash or a memory blow-up there never takes the server down."""
