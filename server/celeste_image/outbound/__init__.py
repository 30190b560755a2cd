"""The one way out: every request over HTTP that this server sends."""
