"""The provider `local`: image engines on this machine, without a key or a network. Importing it loads no engine."""
