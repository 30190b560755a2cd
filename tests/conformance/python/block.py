"""Runs a program of a documentation page, word for word, in a folder: `block.py PROGRAM.py FOLDER`."""

import os
import runpy
import sys

program = os.path.abspath(sys.argv[1])
os.chdir(sys.argv[2])
runpy.run_path(program, run_name="__main__")
