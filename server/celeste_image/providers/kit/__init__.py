"""What the files of vendors are written with."""
