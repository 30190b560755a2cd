"""Providers: everything that makes images, from APIs of vendors to local models; `registry` finds them."""
