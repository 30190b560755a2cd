"""HTTP to other machines: every request that this server sends goes through `client.Http`."""
